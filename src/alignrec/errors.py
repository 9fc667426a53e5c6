"""The error tree: catch `AlignrecError` to catch everything the library raises on purpose.

AlignrecError
├── UsageError          the call itself is wrong (command line exit code 2)
│   ├── SettingsError   an unknown or ill-typed setting
│   └── MissingExtraError  a feature needs an optional dependency
├── DataError           interactions, items or a dataset folder
├── FeatureError        a feature table
├── ArtifactError       a folder or file written by this library
└── TrainingError       a run that cannot go on (NaN, nothing to train on)

What only one package has to say is defined there: `TrainingStoppedError`, `StudyStoppedError` and `TrackingError` in
`studies`, `Beit3MismatchError` (an ArtifactError) in `encoders`.

Every message is one line: what was given, what is allowed, what to do.
"""

__all__ = [
    "AlignrecError",
    "ArtifactError",
    "DataError",
    "FeatureError",
    "MissingExtraError",
    "SettingsError",
    "TrainingError",
    "UsageError",
]


class AlignrecError(Exception):
    """Base of all errors raised on purpose; the message is one line for a person."""

    exit_code = 1


class UsageError(AlignrecError):
    """The call is wrong, whatever the data: an option, a name, a setting."""

    exit_code = 2


class SettingsError(UsageError):
    """A setting that does not exist or cannot have this value."""


class MissingExtraError(UsageError):
    """A feature needs an optional dependency that is not installed."""


class DataError(AlignrecError):
    """Interactions, items or a dataset folder are not usable as they are."""


class FeatureError(AlignrecError):
    """A feature table is malformed or does not fit the dataset."""


class ArtifactError(AlignrecError):
    """A file or folder written by this library is missing, damaged or of another origin."""


class TrainingError(AlignrecError):
    """Training cannot go on."""
