"""The stories that `rollbook demo --story NAME` can tell."""

from rollbook_demo.stories.base import Story
from rollbook_demo.stories.digits import DigitsStory
from rollbook_demo.stories.language_model import LanguageModelStory
from rollbook_demo.stories.torch_digits import TorchStory

DEFAULT = "digits"
STORIES: dict[str, Story] = {DEFAULT: DigitsStory(), "torch": TorchStory(), "llm": LanguageModelStory()}
