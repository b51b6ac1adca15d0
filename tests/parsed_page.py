"""A page as a test reads it."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "link", "img", "br", "hr", "input"}


class ParsedPage(HTMLParser):
    """Keeps elements with their attributes, and the text.

    Fails on a tag that is not closed, and on a page that does not stand alone: nothing is fetched or run.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.elements, self.text = [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []
        assert [word for word in ("http:", "https:", "<script", "url(", "@import") if word in text] == []
        assert "default-src 'none'" in text  # so that a browser holds the page to it
        assert "prefers-color-scheme: dark" in text
        assert self.all("html") == [{"lang": "en"}]
        assert all(a["src"].startswith("data:image/jpeg;base64,") for a in self.all("img"))
        self.text = " ".join(self.text.replace("\u00a0", " ").split())

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.text += data

    def all(self, tag):
        """The attributes of each element of that name."""
        return [attributes for name, attributes in self.elements if name == tag]
