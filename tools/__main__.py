"""Bring the generated parts of the documents up to date: `python -m tools`."""

from tools import pictures, tree

if __name__ == "__main__":
    tree.PAGE.write_text(tree.current(tree.PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    for file, svg in pictures.pictures().items():
        file.write_text(svg, encoding="utf-8")
