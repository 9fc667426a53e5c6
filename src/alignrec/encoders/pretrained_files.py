"""A Hugging Face model by its name or folder → the files on this disk, and what tells its weights from others.

Of a model on the hub only settings, tokenizer and one copy of the weights are fetched, into the hub's own cache, and
never any code. Needs the extra `pretrained`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from alignrec.artifacts import hash_file
from alignrec.errors import ArtifactError, MissingExtraError, UsageError

__all__ = ["ModelFiles", "fetch_weights", "find_model", "hash_weights", "quietly", "require_transformers"]

_HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
_SMALL_FILES = ("*.json", "*.txt", "*.model", "*.spm", "*.codes")
_WEIGHTS = (  # of a folder the first kind that is there
    ("model.safetensors", "model-*-of-*.safetensors"),
    ("pytorch_model.bin", "pytorch_model-*-of-*.bin"),
)
_DENSE = "*_Dense/pytorch_model.bin"  # layers of sentence models, small
_OTHER_FORMATS = ("onnx/*", "openvino/*", "coreml/*")


@dataclass(frozen=True)
class ModelFiles:
    """Where a model lies."""

    name: str  # as it was asked for
    folder: Path
    commit: str | None = None  # of the hub; None: a folder that did not come from it


def require_transformers() -> None:
    """Do nothing where `transformers` is installed.

    Raises:
        MissingExtraError: it is not.
    """
    try:
        import transformers  # noqa: F401  (of an extra)
    except ImportError:
        raise MissingExtraError(
            "pretrained models need the package transformers, which is not installed; "
            "run: pip install 'alignrec[pretrained]'"
        ) from None


def find_model(name: str, revision: str | None = None) -> ModelFiles:
    """The folder called `name`, or settings and tokenizer (not the weights) of the hub's model of that name.

    `revision` is a branch, tag or commit of the hub; None is its main branch. Without a connection what was fetched
    before is used.

    Raises:
        MissingExtraError: `transformers` is not installed.
        UsageError: a revision of a folder.
        ArtifactError: neither a folder nor a model that the hub, or what was fetched from it, has.
    """
    require_transformers()
    folder = Path(name).expanduser()
    if name and folder.is_dir():
        if revision is not None:
            raise UsageError(f"setting 'hf.revision' does not apply to the folder {name}; leave it out")
        return ModelFiles(name, folder)
    if not _HUB_NAME.fullmatch(name):
        raise ArtifactError(f"{name!r} is not a folder, and no name of the hub; give a model's folder or OWNER/NAME")
    folder = _fetch(name, revision, _SMALL_FILES)
    return ModelFiles(name, folder, folder.name)


def fetch_weights(files: ModelFiles) -> None:
    """Fetch the weights too, as safetensors where the hub has them; nothing to do for a folder of one's own.

    Raises:
        ArtifactError: they cannot be fetched, or there are none.
    """
    if files.commit is not None:
        for patterns in _WEIGHTS:
            if not _weights(files.folder):
                _fetch(files.name, files.commit, (*patterns, *(f"*/{pattern}" for pattern in patterns), _DENSE))
    if not _weights(files.folder):
        raise ArtifactError(
            f"{files.folder} holds no weights (model.safetensors or pytorch_model.bin); save them there"
        )


def hash_weights(folder: Path) -> Mapping[str, str]:
    """SHA-256 of each file of weights in `folder` and the folders in it, by its path."""
    return {str(path.relative_to(folder)): hash_file(path) for path in _weights(folder)}


@contextmanager
def quietly() -> Iterator[None]:
    """Keep `transformers` from writing its own notes and progress bars; what it was told before holds afterwards."""
    from transformers.utils import logging  # of an extra

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _weights(folder: Path) -> list[Path]:
    """Files of weights in `folder` and in the folders in it."""
    inner = sorted(path for path in folder.iterdir() if path.is_dir())
    return [path for place in (folder, *inner) for path in _weights_beside(place)]


def _weights_beside(folder: Path) -> list[Path]:
    for patterns in _WEIGHTS:
        found = sorted(path for pattern in patterns for path in folder.glob(pattern))
        if found:
            return found
    return []


def _fetch(name: str, revision: str | None, patterns: Sequence[str]) -> Path:
    """The hub's folder of the model with at least the files of these patterns that it has."""
    from huggingface_hub import snapshot_download  # of an extra
    from huggingface_hub.errors import HTTPError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        return Path(
            snapshot_download(
                name, revision=revision, allow_patterns=list(patterns), ignore_patterns=list(_OTHER_FORMATS)
            )
        )
    except RevisionNotFoundError:
        raise ArtifactError(
            f"model {name!r} has no revision {revision!r} on the hub; leave it out for the main one"
        ) from None
    except RepositoryNotFoundError:
        raise ArtifactError(
            f"model {name!r} is no folder, and the hub has none of that name for you; mend the name, or log in to "
            "the hub if the model is private or gated"
        ) from None
    except (OSError, ValueError, HTTPError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
        raise ArtifactError(
            f"model {name!r} is no folder, and it cannot be fetched from the hub ({reason}); check the name and the "
            "connection, or give the folder of a copy"
        ) from None
