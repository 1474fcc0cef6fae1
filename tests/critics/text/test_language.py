"""Which script and language a text is in, where that is sure."""

import pytest

from critics.text.language import language, other_language, script

SENTENCES = {
    "en": "The cat sat on the mat and it was happy.",
    "de": "Die Katze saß auf der Matte und sie war nicht allein.",
    "fr": "Le chat est sur la table et il ne dort pas.",
    "es": "El gato está en la mesa y no duerme por la noche.",
    "it": "Il gatto è sulla sedia e non dorme con il cane.",
    "pt": "O gato não está com o cão, mas em uma caixa.",
    "nl": "De kat zit op het bed en ik ben er niet.",
    "pl": "Kot śpi na stole, a pies leży pod stołem.",
    "fi": "Kissa nukkuu pöydällä.",
    "tr": "Kedi masanın üzerinde uyuyor.",
    "vi": "Con mèo ngủ trên bàn.",
    "uk": "Собака лежить під столом, а кіт спить на ліжку.",
}


@pytest.mark.parametrize(("code", "text"), SENTENCES.items())
def test_a_sentence_tells_its_language(code: str, text: str) -> None:
    assert language(text) == code


@pytest.mark.parametrize(
    "text", ["", "42", "Ottawa", "!!!!", "2 + 2 = 4", "def f(x):\n    return x + 1", "Yes, it does."]
)
def test_what_is_short_or_no_prose_has_no_language(text: str) -> None:
    assert language(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The cat sat.", "latin"),
        ("Кошка спит на столе", "cyrillic"),
        ("猫在桌子上睡觉", "east_asian"),
        ("고양이가 잔다", "hangul"),
        ("42", None),
        ("Abcd", None),
        ("Abcde", "latin"),
        ("abc где", None),
    ],
)
def test_the_script_is_that_of_most_letters(text: str, expected: str | None) -> None:
    assert script(text) == expected


@pytest.mark.parametrize(
    ("response", "prompt", "expected"),
    [
        pytest.param(SENTENCES["de"], "What did the cat do on the mat?", True, id="another-language"),
        pytest.param(SENTENCES["en"], "What did the cat do on the mat?", False, id="the-same"),
        pytest.param("Кошка спит на столе", "Cat? Where?", True, id="another-script"),
        pytest.param(SENTENCES["de"], "Cat?", False, id="short-prompt"),
        pytest.param("Ottawa", "What is the capital of Canada?", False, id="short-response"),
        pytest.param(SENTENCES["de"], "How do you say in German what the cat did on the mat?", False, id="asked-for"),
        pytest.param("Кошка спит на столе", "Translate: the cat sleeps.", False, id="asked-for-another-script"),
    ],
)
def test_a_response_in_another_language(response: str, prompt: str, expected: bool) -> None:
    assert other_language(response, prompt) is expected


@pytest.mark.parametrize("code", sorted(SENTENCES.keys() - {"en"}))
def test_no_sentence_of_another_language_passes_for_english(code: str) -> None:
    assert other_language(SENTENCES[code], "What did the cat that you have do on the mat?")


def test_a_few_english_words_do_not_make_a_text_english() -> None:
    response = f"{SENTENCES['de']} Ein Schild sagt: Beware of the dog and the cat. {SENTENCES['de']} {SENTENCES['de']}"

    assert other_language(response, "What did the cat that you have do on the mat?")
