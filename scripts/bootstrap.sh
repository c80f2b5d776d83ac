#!/usr/bin/env bash
# What must be there before Python can take over: Debian packages and the virtual environment.
#
#   scripts/bootstrap.sh [run|lint|test|browser|base]
#
# Only what is missing is installed, so a second run takes no time. It starts no daemon and
# configures none: scripts/ (Python) does that.
set -euo pipefail
cd "$(dirname "$0")/.."

purpose=${1:-run}
var=${NAAS_VAR:-$PWD/var}
PATH=$PATH:/usr/sbin:/sbin
stamp_dir=.venv/.naas

say() { printf '%-28s %s\n' "$1" "$2"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }
# Add a command's output to a log; when it fails, show what the log says of warnings and errors, or its end.
logged() {
  local log=$var/log/$1.log
  shift
  mkdir -p "$var/log"
  "$@" >>"$log" 2>&1 </dev/null && return
  grep -E '^([WE]|ERROR):' "$log" | sort -u | tail -n 15 >&2 || tail -n 15 "$log" >&2
  fail "\`$*\` failed; its whole output is in $log"
}

has() { command -v "$1" >/dev/null 2>&1; }

# --- Debian packages -----------------------------------------------------------------------

# Programs by the package that brings them; a program from elsewhere is as good.
run_programs=(
  redis-server:redis-server ip:iproute2 nft:nftables nsenter:util-linux sysctl:procps
  ping:iputils-ping traceroute:traceroute curl:curl iperf3:iperf3 npm:npm haproxy:haproxy
)
test_programs=(tcpdump:tcpdump git:git sipp:sip-tester openssl:openssl)

python_is_fit() { "$1" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
  local candidate
  for candidate in python3 /usr/bin/python3; do
    if python_is_fit "$candidate"; then command -v "$candidate"; return; fi
  done
}

missing_programs() {
  local pair
  for pair in "$@"; do
    has "${pair%%:*}" || echo "${pair##*:}"
  done
}

# A Docker that answers is used as it is; otherwise both its daemon and its client are needed.
has_docker() { docker version >/dev/null 2>&1 || { has docker && has dockerd; }; }
has_postgres() { compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; }

missing_packages() {
  [[ -e /etc/ssl/certs/ca-certificates.crt ]] || echo ca-certificates
  if [[ ! -x .venv/bin/python && -z $(find_python) ]]; then echo python3 python3-venv; fi
  [[ $purpose != lint ]] || return 0
  [[ $purpose != base ]] || { missing_programs mmdebstrap:mmdebstrap; return 0; }
  missing_programs "${run_programs[@]}"
  has_docker || echo docker.io
  [[ $purpose != run ]] || return 0
  missing_programs "${test_programs[@]}"
  has_postgres || echo postgresql
  [[ $purpose != browser ]] || has chromium || echo chromium
}

# The packages' own services stay off: the platform runs its own Redis, and says when it starts Docker.
keep_services_off() {
  [[ ! -e /usr/sbin/policy-rc.d ]] || return 0
  trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
  chmod 755 /usr/sbin/policy-rc.d
}

disable_at_boot() {
  [[ -d /run/systemd/system ]] || return 0
  local package
  for package in "$@"; do
    case $package in redis-server | postgresql | haproxy) systemctl disable --quiet "$package" || true ;; esac
  done
}

apt_install() {
  [[ $EUID == 0 ]] || fail "missing Debian packages: $*. Run this as root, or install them first."
  has apt-get || fail "missing: $*. This machine has no apt-get; Debian 12 is what the platform is made for."
  export DEBIAN_FRONTEND=noninteractive
  local started=$SECONDS
  say "Debian packages" "installing $*"
  keep_services_off
  rm -f "$var/log/apt.log"
  logged apt apt-get update
  logged apt apt-get install -y --no-install-recommends "$@"
  disable_at_boot "$@"
  say "Debian packages" "installed in $((SECONDS - started)) s"
}

# --- Python packages -----------------------------------------------------------------------

ensure_venv() {
  if [[ -x .venv/bin/python ]] && .venv/bin/python -c 'import pip' 2>/dev/null; then return; fi
  local python
  python=$(find_python)
  [[ -n $python ]] || fail "Python 3.11 or newer with venv was not found (Debian: apt-get install python3 python3-venv)"
  say "Python environment" "making .venv with $python"
  logged venv "$python" -m venv --clear .venv
}

install_requirements() {
  local file=$1 started=$SECONDS digest
  digest=$(cat requirements*.txt constraints.txt | sha256sum | cut -c1-16)
  if [[ $(cat "$stamp_dir/$file" 2>/dev/null) == "$digest" ]]; then return; fi
  say "Python packages" "installing $file"
  rm -f "$var/log/pip.log"
  logged pip .venv/bin/python -m pip install --disable-pip-version-check --no-input -c constraints.txt -r "$file"
  mkdir -p "$stamp_dir"
  echo "$digest" >"$stamp_dir/$file"
  # The development requirements include the others.
  [[ $file == requirements.txt ]] || echo "$digest" >"$stamp_dir/requirements.txt"
  say "Python packages" "installed in $((SECONDS - started)) s"
}

case $purpose in run | lint | test | browser | base) ;; *) fail "unknown purpose '$purpose': run, lint, test, browser or base" ;; esac

mapfile -t packages < <(missing_packages | tr ' ' '\n' | sort -u)
if ((${#packages[@]})); then apt_install "${packages[@]}"; fi
ensure_venv
case $purpose in
  run) install_requirements requirements.txt ;;
  lint | test | browser) install_requirements requirements-dev.txt ;;
esac
