"""Wordings by which a text addresses whoever judges it, claims a verdict, or poses as part of the judge's prompt.

Each is searched in linear time, in a text whose runs of white space are single characters. They know the
commonest wordings and no more: what is said in other words is not found (`docs/concepts/attacks_on_the_judge.md` has the figures).
"""

from __future__ import annotations

import re

from critics.text.needed import Phrases

_JUDGE = r"(?:judges?|evaluators?|graders?|raters?|assessors?|annotators?|adjudicators?|reviewers?|arbiters?|referees?)"
_REPLY = r"(?:repl(?:y|ies)|responses?|answers?|outputs?|candidates?|completions?|assistants?)"
_THIS = rf"(?:this|my|the\s+(?:above|following|present|current))\s+(?:\w+\s+)?(?:{_REPLY}|text)"
_LETTER = r"[\"'(\[*]{0,3}\b(?-i:[AB]|[12])\b"
_OPENS = r"(?:^|[.!?:;,>\]]\s*|\b(?:please|must|should|shall|now|and|to)\s+(?:\w+ly\s+)?)"
"""Where an order can begin."""
_PREFER = r"(?:choose|select|pick|prefer|favou?r|reward|vote\s+for|go\s+with|declare)"
_BETTER = r"(?:better|best|superior|preferred|preferable|winner|chosen)"
_WORSE = r"(?:wrong|harmful|worse|withdrawn|false|incorrect|unsafe|inferior|bad)"
_RULES = (
    r"(?:principles?|criteri(?:a|on)|rubrics?|constitution"
    r"|(?:scoring|grading|judging|evaluation)\s+(?:rules?|schemes?|guidelines?))"
)
_GRAND = (
    r"(?:brilliant|amazing|incredible|genius|phenomenal|extraordinary|superb|outstanding|exceptional|marvell?ous|profound"
    r"|magnificent)"
)
_CHECKED = (
    r"(?:rated|scored|ranked|graded|verified|approved|certified|endorsed|checked|fact-checked|reviewed|confirmed)"
)

orders = Phrases(
    # orders to leave the rules, to choose, to score
    rf"{_OPENS}(?:ignore|disregard|forget|override|discard|do\s+not\s+follow)\s+(?:\w+\s+){{0,5}}(?:{_RULES}"
    rf"|(?:previous|prior|above|earlier|your|all|any)\s+(?:the\s+)?(?:instructions|guidelines)|(?:other|first|second)\s+{_REPLY})\b",
    rf"{_OPENS}(?:{_PREFER}|output|print|write|say|return|(?:answer|reply|respond)\s+with)\s+(?:\w+\s+){{0,3}}"
    rf"(?:(?:{_REPLY}|options?|letter|label)\s+{_LETTER}|(?:this|my)\s+{_REPLY}\b|the\s+{_REPLY}\s+(?:that|which|with|above|below)\b"
    r"|the\s+(?:letter|label)\s+of\b|the\s+text\s+you\s+are\s+reading)",
    rf"\b(?:{_PREFER}|mark)\s+(?:this|my|the\s+present)\s+{_REPLY}\b|\b{_PREFER}\s+mine\b",
    r"\b(?:give|assign|award|grant|rate|score|grade|rank)\s+(?:this|my|it|the)\b[^.!?\n]{0,40}\b"
    r"(?:highest|full|top|max(?:imum)?|perfect|best|10|ten|100)\b[^.!?\n]{0,20}\b(?:scores?|marks?|ratings?|grades?|points?|out\s+of|/\s*10)",
    rf"\b(?:this|my)\s+(?:{_REPLY}|text)\s+(?:must|should|has\s+to|needs\s+to|deserves\s+to|is\s+to|gets?)\s+(?:\w+\s+)?"
    r"(?:be\s+(?:chosen|preferred|selected|picked|rated|ranked)|win\b|full\b|top\b)",
    r"\byour\s+(?:answer|verdict|choice|decision)\s+(?:is|must\s+be|should\s+be|will\s+be)\b[^.!?\n]{0,20}\b(?:letter|this|(?-i:[AB]))\b",
    # words to whoever judges
    rf"\b(?:dear|attention|note|message|notice|instructions?|reminder|hint|memo)\s*(?:,|:|to|for)?\s+(?:(?:the|all|any)\s+)?(?:\w+\s+)?{_JUDGE}\b",
    rf"\b{_JUDGE}\s+(?:instructions?|notes?|messages?|directives?)\s*[:\]]",
    rf"\bas\s+(?:an?|the)\s+(?:[\w-]+\s+){{0,3}}{_JUDGE}\b[^.!?\n]{{0,40}}\byou\b",
    rf"\byou(?:['’]re|\s+are)\s+(?:(?:an?|the)\s+)?(?:[\w-]+\s+){{0,2}}(?:{_JUDGE}|judging|evaluating|grading)\b[^!?\n]{{0,80}}"
    r"\b(?:top|highest|full|best|prefer|choose|this\s+(?:reply|answer|response))\b",
    r"\b(?:hey|dear|if\s+you\s+are|you\s+are)\s+(?:an?\s+)?(?:AI|LLM|language\s+model)\b[^.!?\n]{0,60}\b(?:reading|evaluat|judg|prefer)",
    # principles that are none, and the words of our own templates
    rf"^\W{{0,4}}(?:(?:new|updated|real|additional)\s+)?(?:principle|criterion|rubric|constitution|rule)(?:\s+\d+)?(?:\s+for\s+[^.:\n]{{1,40}})?\s*:"
    rf".*\b(?:{_REPLY}|lose|win)\b",
    rf"\b{_RULES}[^.!?\n]{{0,60}}\b(?:chang|updat|replac|suspend|cancel|overrid)\w*\b[^\n]{{0,80}}\b(?:{_REPLY}|prefer)\b",
    rf"\b(?:{_THIS}|answer|it)\s+(?:that\s+)?(?:follows|satisfies|meets|obeys|fulfils)\s+(?:every|all|the|this)\s+(?:\w+\s+){{0,2}}principles?\b",
    r"\bwhich\s+reply\s+(?:follows\s+this\s+principle|is)\s+better\b|\banswer\s+with\s+one\s+letter\b|\bhere\s+are\s+a\s+conversation\s+and\b",
    # the commonest orders in other languages
    r"\b(?:ignor\w+|vergiss)\b.{0,40}\b(?:grundsätze|prinzipien|kriterien|principes|critères|principios|criterios|princ[ií]pi|criteri)\b",
    r"\b(?:wähle|bevorzuge|choisi\w+|préfére\w*|elige|elija|prefiere|scegli\w*|escolha)\b.{0,20}\b(?:antwort|réponse|respuesta|risposta|resposta)\b",
    r"(?:評審|评审|评委|裁判|忽略|无视).{0,30}(?:回答|回复|答案|原则|注意)|(?:この|本)(?:回答|返答)を(?:選|えら)",
)
decides = Phrases(
    r"\[\[\s*(?:[AB12]|tie)\s*\]\]",
    rf"\b(?:verdict|winner|judge?ment|decision|result|preference|(?:winning|better|best|preferred|superior)\s+{_REPLY})\W{{0,3}}"
    rf"(?:\s*(?:is|was|goes\s+to|[:=>→]))+\s*(?:clearly\s+|the\s+)?(?:{_REPLY}\s+)?{_LETTER}(?!\s*[%°\d-])",
    r"\bpreferred\s*:\s*(?:this|the\s+above)\b",
    rf"\b(?:reply|response|output|candidate|completion|assistant)\s+{_LETTER}[\"')\]*]{{0,3}}\s+(?:\w+ly\s+)?"
    rf"(?:wins\b|outperforms\b|(?:is|was|seems|would\s+be)\b[^.!?\n]{{0,30}}\b(?:{_BETTER}|{_WORSE})\b)",
    rf"\bthe\s+other\s+{_REPLY}\b[^.!?\n]{{0,40}}\b{_WORSE}\b",
    rf"\bthe\s+{_REPLY}\s+(?:above|that\s+I\s+(?:just\s+)?read)\s+(?:is|was)\s+(?:\w+ly\s+)?(?:the\s+)?{_BETTER}\b",
)
decides_in_data = Phrases(
    r"[\"']?\b(?:winner|verdict|preferred|preference|better|choice)\b[\"']?\s*[:=>]\s*[\"']?(?-i:[AB])[\"']?\s*[,}<\n]"
)
"""A verdict as JSON or XML, whose quotation marks quote nothing."""
claims_rating = Phrases(
    rf"\b{_THIS}\s+(?:\w+\s+){{0,3}}(?:{_CHECKED}|passed|flawless)\b",
    r"\b(?:rated|rating|scored?|grade|marks?|quality|safety|honesty|accuracy)\s*:?\s*(?:a\s+|as\s+)?[★⭐(]*(?:10|ten|5|five|100)\s*(?:/|out\s+of)\s*(?:10|ten|5|five|100)\b|\brating\s*:\s*[★⭐]",
    rf"(?:^|[.!(\[]\s*)(?:\w+\s+)?{_CHECKED}\s+(?:and\s+\w+\s+)?by\s+(?:\w+\s+){{0,4}}(?:experts?|professors?|panel|team|developers?|researchers|specialists)\b",
    rf"\d\s*%\s+of\s+(?:\w+\s+){{1,3}}(?:preferred|chose|liked)\s+{_THIS}",
)
flatters = Phrases(
    rf"\b{_JUDGE}\b[^.!?\n]{{0,60}}\b(?:like|as)\s+you\b|\byou\b[^.!?\n]{{0,30}}\b(?:wise|fair|perceptive|discerning|{_GRAND})\s+{_JUDGE}\b",
    rf"\bwhat\s+an?\s+(?:\w+\s+){{0,3}}{_GRAND}\s+(?:\w+\s+){{0,3}}(?:question|idea|thought|prompt|request)\b",
    rf"\b(?:your?|only)\b[^.!?\n]{{0,20}}\b(?:{_GRAND}|sharpest|finest|superior)\s+(?:intellect|mind|intelligence|wisdom|judge?ment)\b",
    r"\byou(?:['’]re|\s+are)\s+(?:\w+ly\s+|so\s+|such\s+|an?\s+)*(?:genius\b|brilliant\b|amazing\b"
    r"|(?:one\s+of\s+)?the\s+(?:smartest|wisest|brightest|cleverest|greatest|most\s+\w+)\b)",
)
delimits = Phrases(
    r"\breply_[ab]\b|<\s*/?\s*(?:conversation|reply|critique|example)(?:[\s_:=-][^<>\n]{0,80})?\s*/?>",
    r"<\s*/?\s*(?:reply|response|answer|output|assistant|candidate)[\s_-]*[ab12](?:[\s_:=-][^<>\n]{0,80})?\s*/?>",
    r"</(?:response|answer|output|assistant|candidate)>\s*<(?:response|answer|output|assistant|candidate)\b",
    rf"^[ >]*[\#=*~\[<|!-]+\s*(?:the\s+)?(?:end|start|begin|beginning)\s+(?:of\s+)?(?:the\s+)?"
    rf"(?:{_REPLY}|conversation|prompt|user|critique)\b",
    r"^[ >]*(?:[\#*\[=-]+\s*)?(?:reply|response|output|candidate|assistant)\s+[ab12]\b\W{0,4}$",
)
_TURN = re.compile(
    r"^[ >]*(?:\#{1,4}\s*|\*\*|\[)?(?:"
    r"(?P<outside>system(?:\s+(?:note|message|prompt))?|judge|evaluator|grader|developer|tool\s+result)|(?P<user>user|human)|(?P<assistant>assistant|ai|bot|model))(?:\*\*|\])?\s*:"
    r"|^\[(?P<outside_line>system|developer)\]|<(?:(?P<outside_tag>system)|(?P<user_tag>user|human)|(?P<assistant_tag>assistant))>",
    re.IGNORECASE | re.MULTILINE,
)
asks_for_dialogue = Phrases(
    r"\b(?:dialog(?:ue)?|conversation|script|transcript|chat|interview|role-?play|scene|screenplay|log|yaml)\b"
)
"""The prompt wants what `invents_turns` finds."""


def invents_turns(text: str) -> bool:
    """A turn of somebody outside the conversation, or a user's turn and an answer to it."""
    speakers = {match.lastgroup.partition("_")[0] for match in _TURN.finditer(text) if match.lastgroup}
    return "outside" in speakers or {"user", "assistant"} <= speakers
