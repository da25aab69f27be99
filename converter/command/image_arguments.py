"""The arguments that say what is done to images."""

from __future__ import annotations

import argparse

from converter.command.table_arguments import kind
from converter.options import parse_box, parse_colour, parse_range, parse_size
from converter.table.cells.crop_boxes import CropColumns
from shardio.format.encoding import Encoding
from shardio.format.transform import APPLY, KEEP, MAX_PIXELS, MODES, NO_RESAMPLING, RESAMPLINGS


def add_image_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the group of them."""
    image = parser.add_argument_group("images")
    image.add_argument(
        "--crop",
        type=kind(parse_box),
        metavar="L,T,R,B",
        help="the box to cut out, in pixels; right and bottom are excluded; `none` keeps the "
        "whole image; a box that starts with a minus is written --crop=-9,0,... (default: none)",
    )
    image.add_argument(
        "--crop-columns",
        type=kind(CropColumns.parse),
        metavar="L,T,R,B|X,Y,W,H",
        help="the columns of the table with a box for each row: xmin,ymin,xmax,ymax or "
        "x,y,width,height; of other names say which is what: l=a,t=b,r=c,b=d or x=a,y=b,w=c,h=d",
    )
    image.add_argument(
        "--size",
        type=kind(parse_size),
        metavar="WxH",
        help="the size of the stored images (default: that of the box or, without one, of the "
        "images, which must all have the same; 200 of them are looked at)",
    )
    image.add_argument(
        "--resample",
        choices=(*RESAMPLINGS, NO_RESAMPLING),
        default="bicubic",
        metavar="NAME",
        help=f"how to resize: {', '.join(RESAMPLINGS)} (default: %(default)s); `none` resizes "
        "nothing and rejects what has not --size",
    )
    image.add_argument(
        "--shorter-side",
        type=int,
        metavar="N",
        help="resize whole images so that the shorter side has N pixels, then cut --size from the "
        "centre, as is usual for ImageNet",
    )
    image.add_argument(
        "--pad",
        action="store_true",
        help="fill with black where the box reaches outside an image, instead of rejecting it",
    )
    image.add_argument(
        "--background",
        type=kind(parse_colour),
        metavar="R,G,B",
        help="lay transparent images on this colour, before they are cut and resized; 255,255,255 "
        "is white (default: alpha is dropped)",
    )
    image.add_argument(
        "--range",
        type=kind(parse_range),
        metavar="LOW,HIGH",
        help="the values of images of 32 bits a sample, integers or floats, that become black and "
        "white; such images are rejected without it; write --range=-1,1 for a negative one",
    )
    image.add_argument(
        "--channels",
        type=int,
        choices=MODES,
        default=3,
        metavar="1|3|4",
        help="store grey, RGB or RGBA; images of other colours are turned into these first "
        "(default: %(default)s)",
    )
    image.add_argument(
        "--orientation",
        choices=(KEEP, APPLY),
        default=KEEP,
        metavar="keep|apply",
        help="what is done with images that EXIF says are turned: keep them as they are stored, or "
        "apply it and set them upright before they are cut (default: %(default)s)",
    )
    image.add_argument(
        "--max-pixels",
        type=int,
        default=MAX_PIXELS,
        metavar="N",
        help="reject images of more pixels (default: %(default)s)",
    )
    image.add_argument(
        "--truncated",
        choices=("reject", "accept"),
        default="reject",
        metavar="reject|accept",
        help="what is done with images whose end is missing: reject them, or accept what Pillow "
        "makes of them, with the rest black or grey (default: %(default)s)",
    )
    image.add_argument(
        "--encode",
        type=kind(Encoding),
        default="raw",
        metavar="KIND",
        help="store pixels (raw, quickest to read), or files: png, jpeg:95, webp:90, webp:lossless "
        "(default: %(default)s)",
    )
    image.add_argument(
        "--strict-decode",
        action="store_true",
        help="decode every image whole, so that damage below the box is seen; the pixels of whole "
        "files are the same",
    )
