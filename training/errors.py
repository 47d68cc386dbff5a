"""What the training package raises on purpose; each message is one sentence saying what happened and what to do."""


class TrainingError(Exception):
    """Root of the training package's errors."""


class CorpusError(TrainingError):
    """A corpus file is missing, damaged or empty."""


class RunError(TrainingError):
    """A training run's folder does not hold what is needed, or contradicts the command line."""
