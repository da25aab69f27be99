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
            f"{folder} holds an unfinished conversion of this table with these options; only what "
            f"decodes the images is another version:{_lines(differences)}\nOther versions may "
            f"decode other pixels. Go on with those that began it{_install(other, plan)}; "
            f"{_OVERWRITE} with these"
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
            f"{folder} holds a complete dataset of this table and these options; only what decodes "
            f"the images is another version:{_lines(differences)}\nIt can be read as it is. To "
            f"check or repair it, use the versions that made it"
            f"{_install(manifest.versions.pillow, plan)}; {_OVERWRITE} with these"
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
    # The two packages own the same files. Without --force-reinstall pip would find a pillow-simd
    # installed whose files another package's Pillow has replaced.
    package = "pillow-simd" if ".post" in pillow else "pillow"
    return f" (pip install --force-reinstall --no-deps {package}=={pillow})"


def _lines(differences: list[str]) -> str:
    return "".join(f"\n  {line}" for line in differences)
