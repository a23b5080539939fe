"""The one error that users see."""


class ConvertError(Exception):
    """The source cannot be converted. The message names the file or tensor, the value found, and what was expected."""
