"""The examples in docstrings run and give what they say; everything public has one."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import earcli

MODULES = [item.name for item in pkgutil.walk_packages(earcli.__path__, "earcli.") if not item.ispkg]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("name", [name for name in earcli.__all__ if name != "__version__"])
def test_everything_public_has_an_example(name: str) -> None:
    assert ">>>" in (inspect.getdoc(getattr(earcli, name)) or "")
