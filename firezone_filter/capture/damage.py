"""Why a capture cannot be read: from the start, or beyond some point."""


class UnreadableCaptureError(Exception):
    """A file is no capture, or a capture of a kind that is not supported."""


class NotACaptureError(UnreadableCaptureError):
    """A file is no capture."""


class DamagedCaptureError(Exception):
    """A capture cannot be read beyond this point; everything before it was good."""
