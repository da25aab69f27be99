"""Delimiter, encoding and header of a table: found where they are certain, refused where not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converter.table.read_table import read_table
from converter.table.reading import Reading
from converter.table.table import Table
from shardio.errors import OptionError, TableError

HANZI = st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FA5), min_size=1, max_size=4)
# Hanzi that are not rare, as GB2312 has them.
COMMON = st.text(
    st.builds(
        lambda row, cell: bytes([row, cell]).decode("gb2312"),
        st.integers(0xB0, 0xD6),
        st.integers(0xA1, 0xFE),
    ),
    min_size=1,
    max_size=4,
)


def read(path: Path, text: str | bytes, written: str = "utf-8", **reading: Any) -> Table:
    path.write_bytes(text if isinstance(text, bytes) else text.encode(written))
    return read_table(
        str(path),
        labels=None,
        classes=None,
        text_labels=True,
        reading=Reading(**reading),
    )


def content(table: Table) -> list[tuple[str, ...]]:
    words = table.vocabulary or ()
    paths = table.paths(np.arange(len(table)))
    labels = [[words[label] for label in row] for row in table.labels.tolist()]
    return [(path, *row) for path, row in zip(paths, labels, strict=True)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "gb18030"])
@settings(deadline=None, max_examples=40)
@given(words=st.lists(COMMON, min_size=1, max_size=30))
def test_the_encoding_of_chinese_tables_is_found(
    tmp_path_factory: pytest.TempPathFactory, encoding: str, words: list[str]
) -> None:
    """GB18030 is UTF-8 too in one of some thousand tables, so a word that is not is in each."""
    words = [*words, "中国"]
    text = "path,y0\n" + "".join(f"{n}.png,{word}\n" for n, word in enumerate(words))
    table = read(tmp_path_factory.mktemp("t") / "t.csv", text, encoding)
    assert content(table) == [(f"{n}.png", word) for n, word in enumerate(words)]
    assert {"utf-8-sig": "UTF-8", "gb18030": "GB18030"}.get(encoding, encoding[:6].upper()) in (
        table.found
    )


@settings(deadline=None, max_examples=60)
@given(words=st.lists(HANZI, min_size=1, max_size=5))
def test_rare_hanzi_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, words: list[str]
) -> None:
    words = [*words, "中国"]
    text = "path,y0\n" + "".join(f"{n}.png,{word}\n" for n, word in enumerate(words))
    path = tmp_path_factory.mktemp("t") / "t.csv"
    try:
        table = read(path, text, "gb18030")
    except TableError as error:
        assert " ways" in str(error)  # noqa: PT017
        table = read(path, text, "gb18030", encoding="gb18030")
    assert content(table) == [(f"{n}.png", word) for n, word in enumerate(words)]


OTHER_LANGUAGES = {
    "cp932": "いぬ ねこ 自動車 東京 大阪 りんご 学校 病院 カメラ テレビ 北海道 ｶﾒﾗ 道路標識",
    "euc_jp": "いぬ ねこ 自動車 東京 大阪 りんご 学校 病院 カメラ テレビ 山田花子 北海道 道路標識",
    "cp949": "강아지 고양이 자동차 사과 나무 학교 병원 서울 부산 대한민국 김철수 바나나 표지판",
    "cp950": "汽車 電腦 學校 醫院 臺北 蘋果 飛機 銀行 動物 圖書館 鉛筆 道路標誌",
    "cp1251": "кошк соба дерево школ машина улиц яблоко москва город больница",  # noqa: RUF001
    "latin-1": "caféa 20°C 5µm naïve",
}
CODECS = ["gb18030", *OTHER_LANGUAGES]


@pytest.mark.parametrize("encoding", OTHER_LANGUAGES)
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_other_languages_are_refused_with_their_reading(
    tmp_path_factory: pytest.TempPathFactory, encoding: str, data: st.DataObject
) -> None:
    """Whatever words a table has; as GB18030 they would be other characters without a word."""
    known = [word for word in OTHER_LANGUAGES[encoding].split() if len(word.encode(encoding)) > 1]
    words = data.draw(st.lists(st.sampled_from(known), min_size=1, max_size=12, unique=True))
    text = "path,y0\n" + "".join(f"{n}.png,{word}\n" for n, word in enumerate(words))
    path = tmp_path_factory.mktemp("t") / "t.csv"
    as_chinese = text.encode(encoding).decode("gb18030", "replace")
    if as_chinese != text:  # as kana alone are in EUC-JP
        with pytest.raises(TableError) as refused:
            read(path, text, encoding)
        said = str(refused.value)
        if "neither UTF-8" not in said:  # words of an odd number of bytes
            assert any(f"{word!r} in " in said for word in words)
            assert f"--encoding {encoding}" in said
            assert "--encoding gb18030 or" in said or "--encoding gb18030, " in said
    table = read(path, text, encoding, encoding=encoding)
    assert [row[1] for row in content(table)] == words


@settings(deadline=None, max_examples=40)
@given(words=st.lists(COMMON, min_size=10, max_size=60, unique=True))
def test_chinese_tables_are_not_taken_for_others(
    tmp_path_factory: pytest.TempPathFactory, words: list[str]
) -> None:
    """Few words may be words of another language, too; those of a set are not."""
    words = [*words, "这是", "中文", "车牌", "验证码", "猫", "狗", "学校", "医院"]
    text = "path,y0\n" + "".join(f"{n}.png,{word}\n" for n, word in enumerate(words))
    table = read(tmp_path_factory.mktemp("t") / "t.csv", text, "gb18030")
    assert [row[1] for row in content(table)] == words


@pytest.mark.parametrize("words", ["猫 狗", "可能", "（一）", "——"])  # noqa: RUF001
def test_few_characters_are_read_or_refused(tmp_path: Path, words: str) -> None:
    text = "path,y0\n" + "".join(f"{n}.png,{word}\n" for n, word in enumerate(words.split()))
    for codec in CODECS:
        try:
            data = text.encode(codec)
        except UnicodeEncodeError:
            continue
        if codec == "cp949":
            continue  # of hanja alone, which no Korean table has
        try:
            table = read(tmp_path / "t.csv", data)
        except TableError as error:
            assert "ways" in str(error) or "neither UTF-8" in str(error)  # noqa: PT017
        else:
            assert [row[1] for row in content(table)] == words.split()


def test_what_is_in_no_encoding_or_in_two_is_refused(tmp_path: Path) -> None:
    text = "path,y0\na.png,caféa\nb.png,naïve\n"
    with pytest.raises(TableError, match="'caf閍' in GB18030, or 'caféa' in Latin-1"):
        read(tmp_path / "t.csv", text, "latin-1")
    table = read(tmp_path / "t.csv", text, "latin-1", encoding="latin-1")
    assert content(table) == [("a.png", "caféa"), ("b.png", "naïve")]
    with pytest.raises(TableError, match="neither UTF-8 "):
        read(tmp_path / "t.csv", b"path,y0\na.png,\xff\xff\n")
    with pytest.raises(TableError, match="is compressed with gzip; let its name say so"):
        read(tmp_path / "t.csv", b"\x1f\x8b\x08" + bytes(20))
    late = "path,y0\n" + "a.png,x\n" * 300_000
    table = read(tmp_path / "t.csv", late + "b.png,中国\n", "gb18030")
    assert content(table)[-1] == ("b.png", "中国")


# A table, and the rows that it has or what is said of it.
TABLES = {
    "a.csv": ("path;y0\n1,5.png;x\n", [("1,5.png", "x")]),
    "b.csv": ("path\ty0\na b.png\tx y\n", [("a b.png", "x y")]),
    "c.txt": ("path y0\na.png x\n", [("a.png", "x")]),
    "d.txt": ("path|y0\na.png|x,y\n", [("a.png", "x,y")]),
    "e.csv": (" path , y0\ta\na.png,x,1\n".replace("\ta", ",b"), [("a.png", "x")]),
    "f.txt": ("i/0.png\t中国\ni/1.png\t人\n", [("i/0.png", "中国"), ("i/1.png", "人")]),
    "g.txt": ("i/0.JPEG 7\ni/1.JPEG 8\n", [("i/0.JPEG", "7"), ("i/1.JPEG", "8")]),
    "h.csv": ("3,i/0.png\n4,i/1.png\n", [("i/0.png", "3"), ("i/1.png", "4")]),
    "i.csv": ("path,y0\n0.png,1\n,2;3\n", "line 3, row 1: path is empty"),
    "j.lst": ("0\t3\ti/0.png\n1\t4\ti/1.png\n", "3 columns divided by tab .*--columns y0,y1,path"),
    "k.txt": ("a 0.png\nb 0.png\n", "several ways.*'a', '0.png'.* by space, or .*'a 0.png'"),
    "l.txt": ("i/0.png 1,2\ni/1.png 3,4\n", [("i/0.png", "1,2"), ("i/1.png", "3,4")]),
    "m.csv": ("filename,text\n0.png,x\n", "has no column path; it has filename, text"),
    "n.txt": ("0.png,10,20,5\n1.png,10,20,6\n", "name them, for example with --columns path,y0"),
    "o.csv": ('path;y0\n"a;b.png";"x"\n', [("a;b.png", "x")]),
    "p.csv": ("", "is empty"),
    "q.txt": ("path\ty0\n\n\na.png\tx", [("a.png", "x")]),
}


@pytest.mark.parametrize("name", TABLES)
def test_delimiter_and_header_are_found_or_the_way_to_name_them(tmp_path: Path, name: str) -> None:
    text, expected = TABLES[name]
    if isinstance(expected, str):
        with pytest.raises(TableError, match=expected):
            read(tmp_path / name, text)
    else:
        assert content(read(tmp_path / name, text)) == expected


def test_delimiter_and_columns_can_be_given(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    table = read(path, "0\t3\ti/0.png\n1\t4\ti/1.png\n", columns=("id", "y0", "path"))
    assert content(table) == [("i/0.png", "3"), ("i/1.png", "4")]
    assert table.found.endswith("UTF-8, tab, no header, columns id, y0, path")
    assert content(read(path, "path!y0\na.png!x\n", delimiter="!")) == [("a.png", "x")]
    table = read(path, "a 0.png\nb 0.png\n", columns=("y0", "path"), delimiter=" ")
    assert content(table) == [("0.png", "a"), ("0.png", "b")]
    for text, words in (
        ("path,y0\na.png,x\n", "has a header, path, y0, which --columns would make a row"),
        ("path,text\na.png,x\n", "has a header"),
        ("a.png,x,y\n", "has not the 2 columns path, y0: its first line has 3 divided by comma"),
    ):
        with pytest.raises(TableError, match=words):
            read(path, text, columns=("path", "y0"), delimiter=",")
    for wrong in ({"delimiter": "ab"}, {"encoding": "base64"}, {"columns": ("a", "a")}):
        with pytest.raises(OptionError):
            Reading(**wrong)


def test_what_nobody_asks_for_is_not_parsed(tmp_path: Path) -> None:
    lines = '{"path":"0.png","y0":"a","z":5}\n{"path":"1.png","y0":"b","z":"x"}\n'
    assert content(read(tmp_path / "t.jsonl", lines + '{"z":[1],"path":"2.png","y0":"c"}'))[2] == (
        "2.png",
        "c",
    )
    with pytest.raises(TableError, match="row 1"):
        read_table(str(tmp_path / "t.jsonl"), labels=("z",), classes=None)
    large = "path,y0,b64\n0.png,a,x\n1.png,b," + "A" * 3_500_000 + "\n2.png,c,x\n"
    assert content(read(tmp_path / "t.csv", large))[1:] == [("1.png", "b"), ("2.png", "c")]
