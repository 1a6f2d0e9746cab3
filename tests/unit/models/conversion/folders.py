"""Taking a folder into a library, and a converter to GGUF, for the tests of conversions."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from ultralab.models import Library, ModelRecord
from ultralab.models.bundles import from_path
from ultralab.models.formats import awq, gguf, gptq, mlx, safetensors
from ultralab.models.formats.base import Format
from ultralab.models.library import add
from ultralab.models.types import Staged
from ultralab.system import files

FORMATS: tuple[Format, ...] = (gguf.FORMAT, safetensors.FORMAT, mlx.FORMAT, gptq.FORMAT, awq.FORMAT)


def take(library: Library, folder: Path, name: str) -> ModelRecord:
    """Add a copy of a folder."""
    bundle = from_path(folder)
    form = next(form for form in FORMATS if form.recognises(bundle))
    header = form.read_header(bundle)
    library.partial.mkdir(parents=True, exist_ok=True)
    staged = []
    for number, item in enumerate(bundle.items):
        path = library.partial / f"{name}.{number}"
        shutil.copy(folder / item.name, path)
        staged.append(Staged(path, item.name, item.size, files.sha256_of(path)))
    return add(library, staged, header, source=f"path:{folder}", added_by="tests", called=name, name=name)


def take_file(library: Library, path: Path) -> ModelRecord:
    """Add a copy of a GGUF file."""
    library.partial.mkdir(parents=True, exist_ok=True)
    copy = library.partial / f"taken.{path.name}"
    shutil.copy(path, copy)
    copy.chmod(0o644)
    staged = Staged(copy, path.name, copy.stat().st_size, files.sha256_of(copy))
    header = gguf.FORMAT.read_header(from_path(path))
    return add(library, [staged], header, source=f"path:{path}", added_by="tests", called=path.name)


CONVERTER = '''#!{python}
"""The arguments of llama.cpp's convert_hf_to_gguf.py, for the tests' llama only: torch is not at hand."""
import argparse, json, sys
from pathlib import Path
import numpy as np
from gguf import GGUFWriter
from safetensors.numpy import load_file
parser = argparse.ArgumentParser()
parser.add_argument("--outfile"); parser.add_argument("--outtype"); parser.add_argument("model")
asked = parser.parse_args()
folder = Path(asked.model)
config = json.loads((folder / "config.json").read_text())
tensors = load_file(folder / "model.safetensors")
words = json.loads((folder / "tokenizer.json").read_text())["model"]
writer = GGUFWriter(asked.outfile, "llama")
writer.add_file_type(0)
writer.add_block_count(config["num_hidden_layers"])
writer.add_context_length(config["max_position_embeddings"])
writer.add_embedding_length(config["hidden_size"])
writer.add_feed_forward_length(config["intermediate_size"])
writer.add_head_count(config["num_attention_heads"])
writer.add_head_count_kv(config["num_key_value_heads"])
writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
writer.add_rope_freq_base(config["rope_theta"])
writer.add_rope_dimension_count(16)
tokens = sorted(words["vocab"], key=words["vocab"].get)
tokens += [f"[PAD{{n}}]" for n in range(len(tokens), config["vocab_size"])]
writer.add_tokenizer_model("gpt2"); writer.add_tokenizer_pre("gpt-2")
writer.add_token_list(tokens); writer.add_token_types([1] * len(tokens))
writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in words["merges"]])
names = {{"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
  "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
  "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}}
plain = {{"model.embed_tokens.weight": "token_embd.weight", "lm_head.weight": "output.weight", "model.norm.weight": "output_norm.weight"}}
for name, array in tensors.items():
    if name in plain:
        writer.add_tensor(plain[name], array)
        continue
    layer, part = name.removeprefix("model.layers.").removesuffix(".weight").split(".", 1)
    heads = dict(attn_q=config["num_attention_heads"], attn_k=config["num_key_value_heads"]).get(names[part], 0)
    if heads and not {wrong!r}:
        array = array.reshape(heads, 2, -1, array.shape[1]).swapaxes(1, 2).reshape(array.shape)
    writer.add_tensor(f"blk.{{layer}}.{{names[part]}}.weight", np.ascontiguousarray(array))
writer.write_header_to_file(); writer.write_kv_data_to_file(); writer.write_tensors_to_file(); writer.close()
'''


def converter(folder: Path, *, wrong: bool = False) -> Path:
    """A folder with ``convert_hf_to_gguf.py``; the ``wrong`` one forgets how llama.cpp orders the heads' rows."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "convert_hf_to_gguf.py"
    path.write_text(CONVERTER.format(python=sys.executable, wrong=wrong))
    return folder
