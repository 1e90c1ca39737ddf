#!/usr/bin/env bash
# A TransformerBridge (transformer-lens 3.9.0) to a DeepSeek model that was loaded before lets tokens attend to later ones.
#
# Its MLAAttentionBridge computes the attention itself and adds the mask that Transformers hands it. Under sdpa, the default of Transformers, there is none
# where attention is merely causal (the kernel is told `is_causal`), and so nothing is masked. A model that the bridge loads by itself gets
# eager attention, which is handed a mask; one that is given as `hf_model` keeps what it has, and nothing is said.
# Source: transformer_lens/model_bridge/generalized_components/mla_attention.py (forward), sources/transformers.py (boot).
# Seen on 2026-11-30, Python 3.11: logits differ from the model's own by up to 2.6, and change at the first token with the last; none of it with eager.
# To be safe, call model.set_attn_implementation("eager") before handing the model over.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check torch==2.13.0 transformers==5.23.0 transformer-lens==3.9.0
cat > "$work/mask.py" <<'PY'
import copy
import sys

import torch
from tokenizers import Tokenizer, models
from transformer_lens.model_bridge import TransformerBridge
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM, PreTrainedTokenizerFast

folder = sys.argv[1]
config = DeepseekV3Config(
    vocab_size=32, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2, intermediate_size=24, max_position_embeddings=64,
    initializer_range=0.3, q_lora_rank=8, kv_lora_rank=8, qk_nope_head_dim=4, qk_rope_head_dim=4, v_head_dim=6, n_routed_experts=4, n_group=1,
    num_experts_per_tok=2, topk_group=1, moe_intermediate_size=12, first_k_dense_replace=1, architectures=["DeepseekV3ForCausalLM"],
)
torch.manual_seed(0)
model = DeepseekV3ForCausalLM(config).eval()
config.save_pretrained(folder)
words = Tokenizer(models.WordLevel({str(i): i for i in range(32)}, unk_token="0"))
PreTrainedTokenizerFast(tokenizer_object=words, bos_token="0", eos_token="0", pad_token="0").save_pretrained(folder)
tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
ids = torch.arange(12)[None]
other = torch.cat([ids[:, :-1], ids[:, :1]], 1)  # another last token
for attention in ("sdpa", "eager"):
    own = copy.deepcopy(model)
    own.set_attn_implementation(attention)
    bridge = TransformerBridge.boot_transformers(folder, hf_model=copy.deepcopy(own), tokenizer=tokenizer, device="cpu")
    with torch.inference_mode():
        logits = bridge(ids)
        differs = bool((logits - own(ids).logits).abs().max() > 0.1)
        sees = bool((logits[0, 0] - bridge(other)[0, 0]).abs().max() > 0.01)
    print(f"{attention}: other logits than the model's {differs}, the first token sees the last {sees}")
PY
found=$("$work/venv/bin/python" -W ignore "$work/mask.py" "$work/model" 2>/dev/null | grep -E "^(sdpa|eager):")
echo "$found"
grep -q "sdpa: other logits than the model's True, the first token sees the last True" <<< "$found"
grep -q "eager: other logits than the model's False, the first token sees the last False" <<< "$found"
