"""What an S3 server says when it refuses, in errors of ours.

s3fs turns the answers into errors of the operating system and keeps what came as their cause.
"""

from __future__ import annotations

from typing import Any

from shardio.errors import (
    LoginError,
    MissingFileError,
    OutputError,
    ShardioError,
    StorageError,
    UnavailableError,
    UnknownStorageError,
    UnusableFileError,
)

_LOGIN = (
    "AuthorizationHeaderMalformed",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidSecurity",
    "InvalidToken",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
)
# These go away by themselves, whatever their status is.
_PASSING = ("ConditionalRequestConflict", "OperationAborted", "RequestTimeout", "SlowDown")
# Time-outs, too many requests.
_PASSING_STATUS = (408, 425, 429)


def translate(error: BaseException, path: str) -> ShardioError | None:
    """Turn an answer of S3 into an error of ours, naming the path; None where there was none."""
    if type(error).__name__ == "FileExpired":
        return StorageError(f"{path}: was replaced while it was read")
    answer = _answer(error)
    if answer is None:
        return None
    code = str(answer["Error"].get("Code", ""))
    reason = str(answer["Error"].get("Message") or code)
    status = answer["ResponseMetadata"].get("HTTPStatusCode", 0)
    if code == "NoSuchBucket":
        return UnknownStorageError(
            f"{path}: there is no such bucket; check its name, and the endpoint (AWS_ENDPOINT_URL)"
        )
    if code in _LOGIN or status in (401, 407):
        return LoginError(f"{path}: the login is refused: {reason} ({code})")
    if code in _PASSING or status in _PASSING_STATUS or status >= 500:
        return UnavailableError(f"{path}: {reason} ({code})")
    if status in (404, 410):
        return MissingFileError(f"{path}: No such file or directory")
    if code == "PreconditionFailed":
        return OutputError(f"{path}: File exists")
    if status == 403:
        reason += "; are the keys right, and do they give the right to do this?"
    if status in (301, 307):
        reason += "; is the bucket in another region, or at another endpoint?"
    return UnusableFileError(f"{path}: {reason} ({code})")


def _answer(error: BaseException | None) -> dict[str, Any] | None:
    """Return the answer that an error was made of, or one of its causes."""
    while error is not None:
        answer = getattr(error, "response", None)
        if isinstance(answer, dict) and {"Error", "ResponseMetadata"} <= answer.keys():
            return answer
        error = error.__cause__
    return None
