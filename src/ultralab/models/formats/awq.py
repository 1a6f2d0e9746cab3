"""AWQ directories (version ``gemm``): as GPTQ, but ``qweight`` packs along the outputs: (in, out · bits / 32).

Source: AutoAWQ's ``WQLinear_GEMM``; its config says ``quant_method: awq``, llm-awq's quant_config.json ``w_bit``.
"""

from __future__ import annotations

from typing import Final

from ultralab.models.formats.gptq import Packed

FORMAT: Final = Packed("awq", "AWQ", (4,), along_outputs=True)
