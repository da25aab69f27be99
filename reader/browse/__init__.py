"""A set in a browser: pages of its records, found by what they are; nothing is ever written."""
