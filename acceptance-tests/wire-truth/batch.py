"""A batch (multipart/mixed, one HTTP message in each part) as the exchanges in it."""

import email
import email.policy


def unpack(exchange):
    """The exchanges of a batch, in the requests' order.

    Raises ValueError where a part has no reply or a reply no request.
    """
    request, response = exchange["request"], exchange["response"]
    if response["status"] != 200:
        raise ValueError(f"the batch was refused with {response['status']}: {response.get('body', '')[:300]}")
    replies = {}
    for identity, message in parts(response):
        status_line, headers, body = http_message(message)
        replies[identity] = {"status": int(status_line.split()[1]), "headers": headers, "body": body}
    exchanges = []
    for identity, message in parts(request):
        method, target, _ = (line := http_message(message))[0].split()
        # The reply's ID is the request's with "response-" in front.
        reply = replies.pop("<response-" + identity.removeprefix("<"), None)
        if reply is None:
            raise ValueError(f"no reply to {method} {target} ({identity})")
        exchanges.append({"request": {"method": method, "target": target, "headers": line[1], "body": line[2]}, "response": reply})
    if replies:
        raise ValueError(f"replies without a request: {', '.join(replies)}")
    return exchanges


def parts(message):
    """The parts of a multipart message: their IDs and contents."""
    content_type = next(value for name, value in message["headers"].items() if name.lower() == "content-type")
    multipart = email.message_from_string(f"Content-Type: {content_type}\n\n{message['body']}", policy=email.policy.HTTP)
    if not multipart.is_multipart() or multipart.defects:
        raise ValueError(f"not multipart: {content_type} {multipart.defects}")
    for part in multipart.iter_parts():
        if part.get_content_type() != "application/http":
            raise ValueError(f"a part is {part.get_content_type()}")
        yield part["Content-ID"], part.get_payload()


def http_message(text):
    """First line, headers and body."""
    head, _, body = text.replace("\r\n", "\n").partition("\n\n")
    first, *lines = head.split("\n")
    return first, {name.strip(): value.strip() for name, value in (line.split(":", 1) for line in lines)}, body.strip()
