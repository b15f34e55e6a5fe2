"""What pyproject.toml cannot state: the wheel gets the files beside the package, and the README absolute links."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
#: Folders of the repository that the wheel has under `pme_airflow/share`.
SHARED = ("dags", "extras", "rules")
IMAGES = re.compile(r"(!\[[^\]]*\]\()(?!https?:)([^)]+\))")
LINKS = re.compile(r"((?<!!)\[[^\]]*\]\()(?!https?:|#)([^)]+\))")


class BuildPy(build_py):
    """Copies the shared folders into the built package; an editable install finds them in the checkout."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for name in SHARED:
            to = Path(self.build_lib, "pme_airflow", "share", name)
            shutil.rmtree(to, ignore_errors=True)
            shutil.copytree(ROOT / name, to, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))


def long_description() -> str:
    """Return the README with links and pictures that lead to the repository from anywhere."""
    repository = re.search(r'^Repository = "(.+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    version = re.search(r'^__version__ = "(.+)"', (ROOT / "pme_airflow/__init__.py").read_text(encoding="utf-8"), re.M)
    assert repository is not None
    assert version is not None
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    text = IMAGES.sub(rf"\g<1>{repository[1]}/raw/v{version[1]}/\g<2>", text)
    return LINKS.sub(rf"\g<1>{repository[1]}/blob/v{version[1]}/\g<2>", text)


setup(
    cmdclass={"build_py": BuildPy},
    long_description=long_description(),
    long_description_content_type="text/markdown",
)
