"""The error of an image that cannot be used."""


class BadImageError(Exception):
    """The image is broken or does not fit; the message is the reason for the rejection."""
