"""Where Python looks for modules. The Rust side runs this text before the package can be found.

It imports only what Python has loaded by then: anything else might come from the current folder.
"""

import os
import site
import sys


def arrange(venv: str, *folders: str) -> None:
    """Searches these folders, Python's own modules, the environment's packages, PYTHONPATH.

    In this order. Packages of the system and of the user are left out, as in the environment
    itself, unless that lets them in: then they come last.
    """
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = os.path.join(venv, "lib", version, "site-packages")
    given = [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]
    set_apart = {"", packages, *folders, *given}
    known = [place for place in dict.fromkeys(sys.path) if place not in set_apart]
    system = [place for place in known if _is_of_system(place)]
    others = [place for place in known if not _is_of_system(place)]
    library = os.path.dirname(os.path.abspath(os.__file__))
    # The library, its built modules, and the library as a file, which need not be there.
    own_file = f"{version.replace('.', '')}.zip"
    own = [it for it in others if it.startswith(library) or it.endswith(own_file)]
    # With what its .pth files add. Other threads import meanwhile, and go through the list by its
    # places: it only grows at its end, and then another list takes its place.
    before = len(sys.path)
    site.addsitedir(packages, set())
    pinned = sys.path[before:]
    others = [place for place in others if place not in own and place not in pinned]
    if not _lets_system_in(venv):
        system = []
    sys.path = list(dict.fromkeys([*folders, *own, *pinned, *given, *others, *system]))


def _is_of_system(place: str) -> bool:
    return not {"site-packages", "dist-packages"}.isdisjoint(place.split(os.sep))


def _lets_system_in(venv: str) -> bool:
    try:
        with open(os.path.join(venv, "pyvenv.cfg"), encoding="utf-8") as settings:
            lines = ["".join(line.split()).lower() for line in settings]
    except OSError:
        return False
    return "include-system-site-packages=true" in lines
