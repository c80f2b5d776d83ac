"""The beds that the contract suites run on: the double, and the real thing."""

from __future__ import annotations

import pytest

from tests.contract.beds import (
    MemoryRuntimeBed,
    MemoryTablesBed,
    MemoryWiringBed,
    docker_bed,
    netlink_bed,
    redis_bed,
)


@pytest.fixture(params=["memory", pytest.param("docker", marks=pytest.mark.system)])
def runtime_bed(request, tmp_path):
    if request.param == "memory":
        yield MemoryRuntimeBed()
    else:
        with docker_bed(tmp_path) as bed:
            yield bed


@pytest.fixture(params=["memory", pytest.param("netlink", marks=pytest.mark.system)])
def wiring_bed(request):
    if request.param == "memory":
        yield MemoryWiringBed()
    else:
        with netlink_bed() as bed:
            yield bed


@pytest.fixture(params=["memory", "redis"])
def tables_bed(request, tmp_path):
    if request.param == "memory":
        yield MemoryTablesBed()
    else:
        with redis_bed(tmp_path) as bed:
            yield bed


@pytest.fixture
def docker(tmp_path):
    with docker_bed(tmp_path) as bed:
        yield bed


@pytest.fixture
def netlink():
    with netlink_bed() as bed:
        yield bed
