"""Errors for an output folder that holds another plan: what differs, and how to go on."""

from __future__ import annotations

from shardio.errors import OutputError
from shardio.format.fields import parse
from shardio.format.inputs import ConversionInputs
from shardio.format.manifest import Manifest
from shardio.format.plan import ConversionPlan

_OVERWRITE = "--overwrite makes all of it again"


def begun_otherwise(folder: str, plan: ConversionPlan, text: bytes) -> OutputError:
    """Return the error for an unfinished conversion whose plan.json is `text`."""
    differences = plan.differences(text)
    said = f"{folder} holds an unfinished conversion with another plan:" + _lines(differences)
    if _only_versions(differences):
        other = str(parse(text, "plan.json")["versions"]["pillow"])
        return OutputError(
            f"{said}\nOther versions may decode other pixels. Go on with those that began it"
            f"{_install(other, plan)}; {_OVERWRITE} with these"
        )
    return OutputError(
        f"{said}\nGive the same table and options to go on, choose another folder, or "
        "--overwrite it"
    )


def finished_otherwise(folder: str, plan: ConversionPlan, manifest: Manifest) -> OutputError:
    """Return the error for a finished set that was made by another plan."""
    differences = plan.differences_from(manifest)
    if _only_versions(differences):
        return OutputError(
            f"{folder} holds a complete dataset of this table and these options, made with other "
            f"versions:{_lines(differences)}\nIt can be read as it is. To repair it, use the "
            f"versions that made it{_install(manifest.versions.pillow, plan)}; {_OVERWRITE} with "
            "these"
        )
    return OutputError(
        f"{folder} holds a complete dataset of another table or other options:"
        f"{_lines(differences)}\nChoose another folder, or --overwrite it"
    )


def begun_elsewhere(
    folder: str, inputs: ConversionInputs, there: ConversionInputs | None
) -> OutputError:
    """Return the error for a conversion that has made records of images below another root."""
    before = "an unknown folder" if there is None else there.root
    return OutputError(
        f"{folder} holds an unfinished conversion of images below {before}, and now they are below "
        f"{inputs.root}. Give the same --root to go on, --moved if these are the same images, or "
        "--overwrite to begin again"
    )


def _only_versions(differences: list[str]) -> bool:
    return all(line.startswith("versions.") for line in differences)


def _install(pillow: str, plan: ConversionPlan) -> str:
    """Return the command that installs a Pillow, if this is another one."""
    if pillow == plan.versions.pillow:
        return ""
    return f" (pip install {'pillow-simd' if '.post' in pillow else 'pillow'}=={pillow})"


def _lines(differences: list[str]) -> str:
    return "".join(f"\n  {line}" for line in differences)
