"""Files that come as a field of a form, as MLE-bench's agents send them."""

from email import message_from_bytes


def uploaded(content_type: str, body: bytes) -> bytes | None:
    """Return the field `file` of a form; None where there is none."""
    form = message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    for part in form.walk():
        if part.get_param("name", header="content-disposition") == "file":
            payload = part.get_payload(decode=True)
            return payload if isinstance(payload, bytes) else None
    return None
