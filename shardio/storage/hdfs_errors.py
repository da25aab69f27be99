"""The errors of the HDFS client and of Hadoop, as ours."""

from __future__ import annotations

import re

from shardio.errors import (
    MissingFileError,
    OutputError,
    ShardioError,
    StorageError,
    UnavailableError,
    UnusableFileError,
)

# The client puts a Java exception, its message and its stack trace into one string.
_JAVA = re.compile(r'RPCError\("(?:[\w.]+\.)?([\w$]+)", "(.*)"\)', re.DOTALL)
_RUST = re.compile(r'(\w+)(?:\("(.*)"\))?', re.DOTALL)
_STACK_TRACE = re.compile(r"(\\n|\n)(\\t|\t)at .*", re.DOTALL)
_DATANODE = re.compile(r'ip_addr: \\*"([^"\\]*)\\*".*?xfer_port: (\d+)', re.DOTALL)
_UNUSABLE = (
    "AccessControlException",
    "InvalidPathException",
    "MaxDirectoryItemsExceededException",
    "ParentNotDirectoryException",
    "PathComponentTooLongException",
)
# Java exceptions that go away by themselves, soon.
_PASSING = ("RetriableException", "StandbyException", "ObserverRetryOnActiveException")
# Another try may get other DataNodes, or the NameNode may have noticed by then which are down.
_OF_DATANODES = (
    "DataTransferError",
    "could only be written to",
    "Failed to complete file",
    # A DataNode has not reported the last block yet: it is busy.
    "NotReplicatedYetException",
)
IS_IT_UP = "is the NameNode up, and is that its address?"
_HINTS = {
    "Connection refused": IS_IT_UP,
    "SafeModeException": "nothing can be written until the NameNode leaves its safe mode:"
    " `hdfs dfsadmin -safemode get`",
    "QuotaExceededException": "free some space or have the quota raised; what is finished is kept",
    "could only be written to": "no DataNode takes new blocks: they are down or full",
    "no DataNode gave": "they are down, or the block is damaged on all of them: `hdfs fsck`",
    "lookup address": "is it a name service? then HADOOP_CONF_DIR must name the folder that"
    " configures it",
    "fs.defaultFS": "name the host, or let HADOOP_CONF_DIR name the folder of Hadoop's"
    " configuration",
}


def is_foreign(error: BaseException) -> bool:
    """Whether an error is one of the client's, whose panics are no Exception."""
    if isinstance(error, ShardioError):
        return False
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def is_passing(error: BaseException) -> bool:
    """Whether a NameNode is down, starting or not the active one: another try may help."""
    if isinstance(error, RuntimeError):
        java = _JAVA.search(str(error))
        # A safe mode that an administrator has set stays until he ends it.
        return java is not None and (
            java[1] in _PASSING or "Safe mode will be turned off automatically" in java[2]
        )
    known = (ShardioError, FileNotFoundError, FileExistsError, IsADirectoryError, PermissionError)
    return isinstance(error, OSError) and not isinstance(error, known)


def translate(error: BaseException, path: str) -> ShardioError:
    """Turn an error of the client into ours, naming the path."""
    text = str(error) or type(error).__name__
    java = _JAVA.search(text)
    kind, reason = (java[1].rpartition("$")[2], java[2]) if java else ("", text)
    reason = _STACK_TRACE.sub("", reason).replace('\\"', '"').strip()
    if "Path is not a file" in reason or "must both be directories" in reason:
        return UnusableFileError(f"{path}: Is a directory")
    if isinstance(error, FileNotFoundError) or (
        kind == "AccessControlException" and "is not a directory" in reason
    ):
        return MissingFileError(f"{path}: No such file or directory")
    if isinstance(error, FileExistsError):
        return OutputError(f"{path}: File exists")
    if kind in _UNUSABLE or isinstance(error, IsADirectoryError | PermissionError):
        return UnusableFileError(f"{path}: {reason}")
    if not java and isinstance(error, RuntimeError):
        reason = _of_rust(reason)
    hints = [hint for word, hint in _HINTS.items() if word in kind or word in reason]
    known = UnavailableError if _may_come_back(error, text) else StorageError
    return known(f"{path}: {'; '.join([reason, *hints])}")


def _may_come_back(error: BaseException, text: str) -> bool:
    """Whether servers were at fault, and not what was asked of them."""
    if is_passing(error):
        return True
    return isinstance(error, RuntimeError) and any(word in text for word in _OF_DATANODES)


def _of_rust(text: str) -> str:
    """Return what a Rust error says in fewer words."""
    if "All DataNodes failed" in text:
        datanodes = [f"{host}:{port}" for host, port in _DATANODE.findall(text)]
        return f"no DataNode gave the block{', of ' * bool(datanodes)}{', '.join(datanodes)}"
    found = _RUST.fullmatch(text)
    return text if found is None else found[2] or found[1]
