"""Figures are counted by what they show; hostile files are refused in one line."""

import base64
import contextlib
import io
import json
import os
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from tasks.grading import figures, rasters
from tasks.grading.figures import count_figures

WIDTH, HEIGHT = 480, 360


def chart(kind="bars", seed=0, size=(WIDTH, HEIGHT)):
    """A plot as libraries draw it: white, with axes, and marks by `kind`."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    w, h = size
    box = (0.12 * w, 0.1 * h, 0.92 * w, 0.88 * h)
    draw.rectangle(box, outline="black")
    if kind == "bars":
        for k in range(8):
            x = box[0] + (k + 0.2) * (box[2] - box[0]) / 8
            top = box[3] - rng.uniform(0.1, 0.9) * (box[3] - box[1])
            draw.rectangle((x, top, x + 0.06 * w, box[3]), fill="steelblue")
    elif kind == "scatter":
        for x, y in rng.uniform(0.15, 0.85, size=(120, 2)):
            draw.ellipse((x * w, y * h, x * w + 6, y * h + 6), fill="darkorange")
    elif kind == "line":
        y = 0.5 + np.cumsum(rng.normal(0, 0.03, 200))
        points = [(box[0] + k * (box[2] - box[0]) / 200, float(v) * h) for k, v in enumerate(y)]
        draw.line(points, fill="black", width=3)
    elif kind == "map":
        cells = rng.integers(0, 255, size=(8, 8, 3), dtype=np.uint8)
        inside = Image.fromarray(cells).resize((int(0.8 * w), int(0.78 * h)), Image.Resampling.BOX)
        image.paste(inside, (int(box[0]), int(box[1])))
    elif kind == "pie":
        middle = (0.3 * w, 0.2 * h, 0.7 * w, 0.8 * h)
        for k, colour in enumerate(("teal", "tomato", "gold")):
            draw.pieslice(middle, 120 * k + seed, 120 * (k + 1) + seed, fill=colour)
    return image


KINDS = ("bars", "scatter", "line", "map", "pie")


def encoded(image, form="PNG", **options):
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def count(folder, **files):
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(content if isinstance(content, bytes) else encoded(content))
    return count_figures(folder)


def refusal(folder, content, name="a.png"):
    """Count one file, which must not count; return why."""
    (folder / name).write_bytes(content)
    report = count_figures(folder)
    assert report.counted == 0
    (finding,) = report.findings
    assert finding.isprintable()
    assert len(finding) < 400
    prefix, _, why = finding.partition(": not counted: ")
    assert prefix.startswith(name)
    return why


# --- what counts ---------------------------------------------------------------------------------


def test_figures_of_different_content_all_count(tmp_path):
    report = count(tmp_path, **{f"{kind}_dot_png": chart(kind) for kind in KINDS})
    assert (report.counted, report.findings) == (5, ())
    assert report.kinds >= 3


@pytest.mark.parametrize(
    ("suffix", "form"), [("png", "PNG"), ("jpg", "JPEG"), ("jpeg", "JPEG"), ("webp", "WEBP")]
)
def test_every_image_format_counts_in_any_folder(tmp_path, suffix, form):
    (tmp_path / "plots" / "deep").mkdir(parents=True)
    (tmp_path / "plots" / "deep" / f"A.{suffix.upper()}").write_bytes(encoded(chart(), form))
    assert count_figures(tmp_path).counted == 1


def test_transparent_figures_are_seen_on_white(tmp_path):
    image = chart().convert("RGBA")
    pixels = np.array(image)
    pixels[(pixels[:, :, :3] == 255).all(axis=2), 3] = 0
    assert count(tmp_path, a_dot_png=Image.fromarray(pixels)).counted == 1


def test_other_files_are_passed_over_in_silence(tmp_path):
    report = count(tmp_path, model_dot_pkl=b"\x80", report_dot_md=b"# hello")
    assert (report.counted, report.findings) == (0, ())


def test_nothing_there_is_no_figure(tmp_path):
    assert count_figures(tmp_path / "nowhere").counted == 0


# --- what does not -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "image",
    [
        Image.new("RGB", (WIDTH, HEIGHT), "white"),
        Image.new("L", (WIDTH, HEIGHT), 0),
        Image.new("RGBA", (WIDTH, HEIGHT), (255, 0, 0, 0)),
        Image.new("RGB", (1, 1), "red"),
        chart("axes"),
        Image.fromarray(np.random.default_rng(0).integers(240, 250, (300, 400, 3), np.uint8)),
    ],
    ids=["white", "black", "transparent", "one pixel", "empty axes", "faint noise"],
)
def test_a_blank_image_does_not_count(tmp_path, image):
    assert refusal(tmp_path, encoded(image)) == "blank"


def test_noise_does_not_count(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (400, 500, 3), np.uint8)
    assert refusal(tmp_path, encoded(Image.fromarray(pixels))) == "noise"


@pytest.mark.parametrize("size", [13, 18, 28])
def test_a_picture_of_text_does_not_count(tmp_path, size):
    image = Image.new("RGB", (800, 600), "white")
    words = ["the", "outcome", "depends", "on", "two", "columns", "and", "on", "no", "other"]
    rng = np.random.default_rng(size)
    lines = [" ".join(rng.choice(words, 60 // (size // 4))) for _ in range(400 // size)]
    ImageDraw.Draw(image).multiline_text(
        (30, 30), "\n".join(lines), fill="black", font=ImageFont.load_default(size)
    )
    assert refusal(tmp_path, encoded(image)) == "nothing but text"


def test_charts_without_axes_are_not_taken_for_text(tmp_path):
    """Horizontal bars and small curves lie in bands as lines of text do, but have no gaps."""
    bars = Image.new("RGB", (WIDTH, HEIGHT), "white")
    curves = bars.copy()
    rng = np.random.default_rng(0)
    for k in range(10):
        top = 20 + 32 * k
        ImageDraw.Draw(bars).rectangle((90, top, 200 + 20 * k, top + 18), fill="navy")
        wave = [(20 + 2 * x, top + 10 + float(rng.normal(0, 3))) for x in range(200)]
        ImageDraw.Draw(curves).line(wave, fill="black", width=2)
    assert count(tmp_path, a_dot_png=bars, b_dot_png=curves).counted == 2


def _resized(image):
    return image.resize((700, 500))


def _recoloured(image):
    pixels = np.array(image)
    pixels[(pixels != 255).any(axis=2)] = (20, 90, 20)
    return Image.fromarray(pixels)


def _titled(image):
    ImageDraw.Draw(image).text((150, 8), "another title", fill="black")
    return image


def _dotted(image):
    ImageDraw.Draw(image).point((100, 100), fill="red")
    return image


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        *((change, kind) for change in (_resized, _titled, _dotted) for kind in KINDS),
        *((_recoloured, kind) for kind in ("bars", "scatter", "line")),
    ],
)
def test_a_near_copy_does_not_count_again(tmp_path, change, kind):
    report = count(tmp_path, a_dot_png=chart(kind), b_dot_png=change(chart(kind)))
    assert report.counted == 1
    assert report.findings == ("b.png: not counted: a near copy of a.png",)


def test_the_same_name_with_another_suffix_is_the_same_figure(tmp_path):
    report = count(tmp_path, a_dot_jpg=encoded(chart(), "JPEG"), a_dot_png=chart("scatter"))
    assert report.counted == 1
    assert report.findings == ("a.png: not counted: another format of a.jpg",)


def test_other_data_in_a_plot_of_the_same_kind_is_another_figure(tmp_path):
    assert count(tmp_path, a_dot_png=chart(seed=1), b_dot_png=chart(seed=2)).counted == 2


# --- hostile images ------------------------------------------------------------------------------

UNREADABLE = {
    "empty": b"",
    "text": b"I am a figure",
    "only a signature": b"\x89PNG\r\n\x1a\n",
    "gif": encoded(chart(), "GIF"),
    "tiff": encoded(chart(), "TIFF"),
    "truncated png": encoded(chart("map"))[:400],
    "truncated jpeg": encoded(chart(), "JPEG")[:400],
    "truncated webp": encoded(chart(), "WEBP")[:400],
}


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_is_no_whole_image_does_not_count(tmp_path, content):
    assert refusal(tmp_path, content) == "no readable PNG, JPEG or WebP image"


def bomb(width, height):
    """A PNG whose header promises many pixels in few bytes."""
    rows = zlib.compress(b"\0" * 10_000)

    def chunk(kind, body):
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("size", [(5001, 5000), (20_000, 20_000), (2**31 - 1, 2**31 - 1)])
def test_a_decompression_bomb_is_refused_by_its_header(tmp_path, size):
    assert "too many" in refusal(tmp_path, bomb(*size))


def test_a_progressive_jpeg_of_countless_scans_is_not_decoded(tmp_path):
    image = encoded(Image.new("L", (64, 64), 255), "JPEG", progressive=True)
    scan = image[image.rfind(b"\xff\xda") : -2]
    assert refusal(tmp_path, image[:-2] + scan * 500 + b"\xff\xd9", "a.jpg") == (
        "a JPEG of too many scans"
    )


def test_an_honest_progressive_jpeg_counts(tmp_path):
    assert count(tmp_path, a_dot_jpg=encoded(chart(), "JPEG", progressive=True)).counted == 1


def test_images_and_pixels_of_all_files_together_are_bounded():
    budget = rasters.Budget(pixels=2 * WIDTH * HEIGHT, images=10)
    for seed in range(2):
        rasters.look(encoded(chart(seed=seed)), budget)
    with pytest.raises(rasters.NotAFigureError, match="too many pixels"):
        rasters.look(encoded(chart()), budget)
    with pytest.raises(rasters.NotAFigureError, match="too many images"):
        rasters.look(encoded(chart()), rasters.Budget(images=0))


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_damaged_bytes_never_raise_anything_else(data):
    form = data.draw(st.sampled_from(["PNG", "JPEG", "WEBP"]))
    content = bytearray(encoded(chart("map", size=(64, 48)), form))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(rasters.NotAFigureError):
        assert rasters.look(bytes(content), rasters.Budget()).shape == (256,)


# --- SVG -----------------------------------------------------------------------------------------


def svg(body, prolog=""):
    return f'{prolog}<svg xmlns="http://www.w3.org/2000/svg" width="9">{body}</svg>'.encode()


def dots(n, seed=0):
    places = np.random.default_rng(seed).integers(0, 1000, size=(n, 2))
    return "".join(f'<circle cx="{x}" cy="{y}" r="2"/>' for x, y in places)


def test_a_drawing_with_marks_of_its_own_counts(tmp_path):
    path = "<path d='M" + " L".join(f"{k} {k * k % 97}" for k in range(60)) + "'/>"
    files = {"a_dot_svg": svg(dots(30)), "b_dot_svg": svg(path)}
    assert count(tmp_path, **files).counted == 2


def test_a_drawing_of_the_same_marks_in_other_colours_and_order_is_the_same(tmp_path):
    marks = dots(30)
    other = "".join(reversed(marks.replace("/>", ' fill="red"/>|').split("|")))
    report = count(tmp_path, a_dot_svg=svg(marks), b_dot_svg=svg(f"<g>{other}</g>"))
    assert report.findings == ("b.svg: not counted: draws the same as a.svg",)


FEW_MARKS = {
    "empty": "",
    "text only": "<text x='1' y='1'>" + "word " * 500 + "</text>",
    "axes only": f"<g id='axes_1'><g id='matplotlib.axis_1'>{dots(200)}</g></g>",
    "definitions": f"<defs>{dots(200)}</defs>",
    "the same dot": "<circle cx='1' cy='1' r='1'/>" * 500,
}


@pytest.mark.parametrize("body", FEW_MARKS.values(), ids=FEW_MARKS.keys())
def test_a_drawing_of_text_and_furniture_does_not_count(tmp_path, body):
    assert "marks; an SVG needs 24" in refusal(tmp_path, svg(body), "a.svg")


LAUGHS = "<!DOCTYPE svg [<!ENTITY a0 'ha'>{}]>".format(
    "".join(f"<!ENTITY a{k} '{f'&a{k - 1};' * 10}'>" for k in range(1, 12))
)
HOSTILE_SVG = {
    "billion laughs": svg("<text>&a11;</text>" + dots(40), LAUGHS),
    "quadratic": svg("&a;" * 9999, f"<!DOCTYPE svg [<!ENTITY a '{'x' * 9999}'>]>"),
    "outer entity": svg(
        f"<text>&f;</text>{dots(40)}", '<!DOCTYPE svg [<!ENTITY f SYSTEM "file:///etc/passwd">]>'
    ),
    "script": svg(f"<script>alert(1)</script>{dots(40)}"),
    "handler": svg(f'<g onload="alert(1)">{dots(40)}</g>'),
    "script behind a link": svg(f'<a href="java\tscript:alert(1)">{dots(40)}</a>'),
    "foreign": svg(f"<foreignObject>{dots(40)}</foreignObject>"),
    "deep": svg("<g>" * 5000 + dots(40) + "</g>" * 5000),
    "not closed": svg(dots(40))[:-6],
    "html": f"<html>{dots(40)}</html>".encode(),
    "not xml": b"\x00\x01\x02",
    "unknown encoding": b"<?xml version='1.0' encoding='klingon'?>" + svg(dots(40)),
    "blank picture": svg(
        "<image href='data:image/png;base64,"
        + base64.b64encode(encoded(Image.new("L", (9, 9)))).decode()
        + "'/>"
    ),
    "damaged picture": svg("<image href='data:image/png;base64,AAAAA'/>"),
}


@pytest.mark.parametrize("content", HOSTILE_SVG.values(), ids=HOSTILE_SVG.keys())
@pytest.mark.timeout(20)
def test_a_hostile_drawing_is_refused_in_one_line(tmp_path, content):
    assert refusal(tmp_path, content, "a.svg")


def test_the_public_document_type_of_plotting_libraries_is_no_offence(tmp_path):
    prolog = (
        '<?xml version="1.0" encoding="utf-8" standalone="no"?><!DOCTYPE svg PUBLIC '
        '"-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">'
    )
    assert count(tmp_path, a_dot_svg=svg(dots(30), prolog)).counted == 1


# --- documents -----------------------------------------------------------------------------------


def inline(image):
    return f"data:image/png;base64,{base64.b64encode(encoded(image)).decode()}"


def notebook(*images):
    outputs = [
        {"output_type": "display_data", "data": {"image/png": content}} for content in images
    ]
    cells = [{"cell_type": "code", "outputs": [output]} for output in outputs]
    return json.dumps({"nbformat": 4, "cells": cells}).encode()


def test_images_inlined_in_a_page_count_each(tmp_path):
    tags = "".join(f'<p><img src="{inline(chart(kind))}"></p>' for kind in KINDS)
    report = count(tmp_path, report_dot_html=f"<html>{tags}{tags}</html>".encode())
    assert report.counted == 5
    assert len(report.findings) == 5  # the second time
    assert report.findings[0] == (
        "report.html, image 6: not counted: a near copy of report.html, image 1"
    )


def test_outputs_of_a_notebook_count_each_and_copies_saved_beside_it_do_not(tmp_path):
    text = [base64.b64encode(encoded(chart(kind))).decode() for kind in KINDS[:3]]
    lines = [text[0][:100], text[0][100:]]  # nbformat allows lists of lines
    report = count(
        tmp_path, eda_dot_ipynb=notebook(lines, *text[1:]), z__bars_dot_png=chart("bars")
    )
    assert report.counted == 3
    assert report.findings == ("z/bars.png: not counted: a near copy of eda.ipynb, image 1",)


def test_a_page_without_images_counts_nothing(tmp_path):
    page = b'<img src="figure.png"><img src="http://localhost/a.png"><canvas></canvas>'
    report = count(tmp_path, a_dot_html=page)
    assert (report.counted, report.findings) == (0, ())


HOSTILE_NOTEBOOKS = {
    "no json": b"{",
    "deep": b"[" * 100_000,
    "not utf-8": b"\xff\xfe{}",
}


@pytest.mark.parametrize("content", HOSTILE_NOTEBOOKS.values(), ids=HOSTILE_NOTEBOOKS.keys())
def test_a_hostile_notebook_is_refused_in_one_line(tmp_path, content):
    assert refusal(tmp_path, content, "a.ipynb") == "no readable notebook"


@pytest.mark.parametrize(
    "payload",
    [
        [],
        {"cells": 3},
        {"cells": [3, None, {"outputs": {}}, {"outputs": [1, {"data": []}]}]},
        {"cells": [{"outputs": [{"data": {"image/png": {"a": 1}}}]}]},
        {"cells": [{"outputs": [{"data": {"image/png": [1, 2]}}]}]},
        {"cells": [{"outputs": [{"data": {"image/png": "é"}}]}]},
    ],
)
def test_a_notebook_of_another_form_counts_nothing(tmp_path, payload):
    assert count(tmp_path, a_dot_ipynb=json.dumps(payload).encode()).counted == 0


def test_bad_images_in_documents_are_refused_one_by_one(tmp_path):
    page = f'<img src="data:image/png;base64,AAAAA"><img src="{inline(chart())}">'
    report = count(tmp_path, a_dot_html=page.encode())
    assert report.counted == 1
    assert report.findings == ("a.html, image 1: not counted: no readable PNG, JPEG or WebP image",)


def test_of_one_document_a_hundred_images_are_looked_at(tmp_path):
    blank = f'<img src="{inline(Image.new("L", (8, 8)))}">' * 150
    report = count(tmp_path, a_dot_html=blank.encode())
    assert len(report.findings) == 100


# --- hostile folders -----------------------------------------------------------------------------


@pytest.mark.timeout(10)
def test_links_fifos_and_folders_in_disguise_are_not_opened(tmp_path):
    results = tmp_path / "results"
    results.mkdir()
    (tmp_path / "secret.png").write_bytes(encoded(chart()))
    (results / "a.png").symlink_to(tmp_path / "secret.png")
    os.mkfifo(results / "b.png")
    (results / "c.png").mkdir()
    (results / "d.png").symlink_to("d.png")
    (results / "linked").symlink_to(tmp_path, target_is_directory=True)
    report = count_figures(results)
    assert report.counted == 0
    assert report.findings == (
        "a.png: not counted: a symbolic link",
        "b.png: not counted: a FIFO",
        "d.png: not counted: a symbolic link",
    )


def test_names_of_any_bytes_are_shown_harmless(tmp_path):
    names = [b"\xff\xfe.png", b"line\nbreak\x1b[31m.png", b"..png", b"a..png", b"-rf.png"]
    for name in names:
        with open(os.path.join(os.fsencode(tmp_path), name), "wb") as file:  # noqa: PTH118, PTH123
            file.write(b"no image")
    report = count_figures(tmp_path)
    assert report.counted == 0
    assert len(report.findings) >= len(names) - 1  # Python 3.14 sees no suffix in `..png`
    assert all(finding.isprintable() for finding in report.findings)


def test_files_too_large_are_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "MAX_FILE_BYTES", 1000)
    monkeypatch.setattr(figures, "MAX_SVG_BYTES", 900)
    assert "at most 1,000 are read" in refusal(tmp_path, b"x" * 1001)
    (tmp_path / "a.png").unlink()
    assert "at most 900 are read" in refusal(tmp_path, b"x" * 901, "a.svg")


def test_bytes_of_all_files_together_are_bounded(tmp_path):
    drawing = svg(dots(30))
    (tmp_path / "a.svg").write_bytes(drawing)
    counter = figures._Counter(bytes_left=2 * len(drawing) - 1)
    for name in ("first.svg", "second.svg"):
        counter.file(tmp_path / "a.svg", name)
    assert counter.report().counted == 1
    assert "bytes; at most" in counter.findings[0]


def test_files_and_levels_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "MAX_FILES", 3)
    deep = tmp_path
    for _ in range(14):
        deep = deep / "d"
    deep.mkdir(parents=True)
    (deep / "unseen.png").write_bytes(encoded(chart("pie")))
    report = count(tmp_path, **{f"a{k}_dot_png": chart(seed=k) for k in range(5)})
    assert report.counted == 3
    assert report.findings == ("more than 3 files; the rest is not looked at",)
