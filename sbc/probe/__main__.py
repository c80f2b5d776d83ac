"""The program `test-call`: prints JSON and ends with 0 when the call passed, with 1 when it did not."""

from __future__ import annotations

import json
import sys

from sbc.probe.arguments import Report, parse
from sbc.probe.call import judge
from sbc.probe.supervise import observe


def main() -> int:
    wanted, report, name = parse(sys.argv[1:])
    verdict = judge(wanted, observe(wanted))
    document = verdict.conditions(name) if report is Report.CONDITION else verdict.document()
    sys.stdout.write(json.dumps(document) + "\n")
    return 0 if verdict.passed else 1


if __name__ == "__main__":
    sys.exit(main())
