from .detection import (
    AUTO as AUTO,
    check_language as check_language,
    detect as detect,
    fallback_notes as fallback_notes,
    language_of as language_of,
    unprompted as unprompted,
)
from .language import (
    ENGLISH as ENGLISH,
    LANGUAGES as LANGUAGES,
    PLACEHOLDER as PLACEHOLDER,
    Language as Language,
    fill as fill,
    language as language,
    union as union,
)
