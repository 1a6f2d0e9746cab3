"""A tiny model with random weights and a fixed seed, as GGUF and as a Hugging Face folder, and what it has to say.

``write_gguf`` and ``write_hf`` write the same weights, byte for byte the same each time; ``greedy`` computes the answer
plainly, so that an engine is checked against arithmetic and not against another engine. Imports numpy, gguf and
safetensors: import it inside the function that needs it.
"""

from ultralab.engines.tiny.gguf_file import write_gguf
from ultralab.engines.tiny.hf_folder import write_hf
from ultralab.engines.tiny.reference import PROMPTS, TOKENS, Answer, greedy
from ultralab.engines.tiny.vocabulary import TEMPLATE, encode

__all__ = ["PROMPTS", "TEMPLATE", "TOKENS", "Answer", "encode", "greedy", "write_gguf", "write_hf"]
