"""Answers that are no caption: a refusal, nothing to see, the question itself."""

from __future__ import annotations

import re

from mama_augment.caption.judge.said import WORD, Asked, Found, words_of

_I_CANNOT = (
    r"i (?:can ?not|can['’]t|could ?n['’]?o?t|am (?:not able|unable)|do"
    r"(?:n['’]t| not) (?:have|know)|"
    r"won['’]t|will not|must decline|apologi[sz]e)\b|i['’]m (?:not able|unable|afraid)\b"
)
_REFUSAL = re.compile(
    rf"^(?:(?:unfortunately|sorry|apologies|however),? (?:but )?(?:{_I_CANNOT})|{_I_CANNOT}|"
    r"(?:i['’ ]?\s?a?m|we are|we['’]re) (?:very |so |really )?sorry\b|sorry[,!.]|"
    r"(?:my )?apologies[,!.]|as an? (?:ai|language|vision)\b|"
    r"it(?: is|['’]s) (?:not possible|impossible|difficult|hard) (?:for me )?to "
    r"(?:determine|say|tell|describe|identify|know)\b|"
    r"抱歉|对不起|我无法|很抱歉|申し訳|죄송|es tut mir leid|tut mir leid|lo siento|je suis"
    r" désolée?\b|"
    r"desculpe|mi dispiace|извините|к сожалению)",
    re.IGNORECASE,
)
_MEDIA = r"(?:videos?|images?|pictures?|frames?|photos?|clips?|footage|attachments?|visual content)"
_DARK = r"(?:black|blank|white|empty|dark|unavailable|not available|missing|corrupted)"
_NO_INPUT = re.compile(
    rf"^(?:there (?:is|are|was|were) no (?:visible |provided |actual )?(?:content|{_MEDIA})\b"
    rf"(?: in (?:the|your|this)\b|[^.]{{0,20}}\b(?:provided|attached|given"
    rf"|uploaded|here|available)\b)|"
    rf"no {_MEDIA} (?:was|were|is|are|has been|found|provided|attached)\b|"
    rf"(?:could you |can you )?(?:please )?(?:provide|upload|share|attach|send) (?:me )?"
    rf"(?:the|a|an|your|some) {_MEDIA}\b|"
    rf"i (?:do not|don['’]t|can ?not|can['’]t) see (?:any|an?|the) {_MEDIA}\b|"
    rf"it (?:seems|looks|appears)(?: like| that)? (?:no|you|the|there)\b[^.]{{0,40}}"
    rf"(?:{_MEDIA})\b[^.]{{0,30}}|"
    rf"(?:the|this|all|these|all the)(?: of the)?(?: provided| given)? {_MEDIA} "
    rf"(?:(?:is|are|appears?(?: to be)?|seems?(?: to be)?) (?:all "
    rf"|completely |entirely |just |too |totally )*"
    rf"(?:{_DARK}|blurry|unclear)\b(?=[ ,.]|$)(?! (?:and white|screen|background|cat|dog))|"
    r"(?:did not|didn['’]t|could not|failed to) load|cannot be (?:seen|loaded|displayed)))",
    re.IGNORECASE,
)
_UNFORTUNATELY = re.compile(r"^(?:unfortunately|sorry),? (?:but )?", re.IGNORECASE)


def find_refusal(text: str, asked: Asked) -> Found:
    """`no_input` or `refusal`, by the first words."""
    if _NO_INPUT.match(_UNFORTUNATELY.sub("", text)):
        return Found(text, "no_input")
    return Found(text, "refusal" if _REFUSAL.match(text) else None)


_QUESTION = re.compile(
    r"^(?:(?:please )?(?:describe|caption|summari[sz]e) (?:the|this|what)\b[^.?!]{0,80}"
    r"(?:video|image|clip|frames|sentence|happening|happens)[^.?!]{0,20}[.?!]?|"
    r"what (?:is|happens|are|process)\b[^.?!]{0,80}\?)$",
    re.IGNORECASE,
)


def drop_question(text: str, asked: Asked) -> Found:
    """Without the prompt where the answer follows it; `echo` where nothing does."""
    if not asked.prompt:
        return Found(text)
    prompt = words_of(asked.prompt)
    said = list(WORD.finditer(text))
    if [match[0].lower() for match in said[: len(prompt)]] == prompt:
        if len(said) == len(prompt):
            return Found(text, "echo")
        rest = text[said[len(prompt) - 1].end() :]
        if re.match(r"[.?!:\"”]", rest):
            return Found(rest.lstrip('.?!:"” \n\t'))
    return Found(text, "echo" if _QUESTION.match(text) else None)
