from .detection import AUTO as AUTO, check_language as check_language, detect as detect, language_of as language_of
from .detection import unprompted as unprompted
from .language import ENGLISH as ENGLISH, LANGUAGES as LANGUAGES, Language as Language, language as language
from .language import union as union
