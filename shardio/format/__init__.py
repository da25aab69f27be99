"""What the bytes of a dataset are. Pure: nothing here opens a file.

`layout` is the record, `framing` what TFRecord puts around it, `naming` the names of the files,
`manifest` dataset.json, `plan` and `done` what a running conversion leaves. docs/format.md says
the same in words.
"""
