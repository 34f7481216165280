"""Chat templates that behave as those of the model families do, each with the tokens it is written in.

Small and written for the tests: what matters of a family (its turns, its system role, what it raises, where it opens
and drops thoughts, its white space) is here; tools and images are not.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from transformers import AddedToken, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

ALTERNATE = (
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
)
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA_2 = (
    "{% if messages[0].role == 'system' %}{% set rest = messages[1:] %}{% set system = messages[0].content %}"
    "{% else %}{% set rest = messages %}{% set system = false %}{% endif %}"
    "{% for m in rest %}" + ALTERNATE + "{% set text = m.content %}"
    "{% if loop.first and system %}{% set text = '<<SYS>>\n' + system + '\n<</SYS>>\n\n' + text %}{% endif %}"
    "{% if m.role == 'user' %}{{ bos_token + '[INST] ' + text.strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + text.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
LLAMA_3 = (
    "{{ bos_token }}{% for m in messages %}"
    "{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + m.content | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
GEMMA_2 = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}" + ALTERNATE + "{% set role = 'model' if m.role == 'assistant' else m.role %}"
    "{{ '<start_of_turn>' + role + '\n' + m.content | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
MISTRAL_1 = (
    "{{ bos_token }}{% for m in messages %}" + ALTERNATE + "{% if m.role == 'user' %}"
    "{{ '[INST] ' + m.content + ' [/INST]' }}{% elif m.role == 'assistant' %}{{ m.content + eos_token + ' ' }}"
    "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
)
MISTRAL_3 = (
    "{% set system = '' %}{% if messages[0].role == 'system' %}{% set system = messages[0].content + '\n\n' %}"
    "{% set messages = messages[1:] %}{% endif %}{{ bos_token }}{% for m in messages %}" + ALTERNATE + ""
    "{% if m.role == 'user' %}{{ '[INST] ' + (system if loop.last else '') + m.content + '[/INST]' }}"
    "{% elif m.role == 'assistant' %}{{ ' ' + m.content + eos_token }}"
    "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
)
PHI_3 = (
    "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)
ZEPHYR = (
    "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + eos_token + '\n' }}"
    "{% if loop.last and add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}{% endfor %}"
)
_QWEN_TURNS = (
    "{% set ns = namespace(last=-1) %}"
    "{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
    "{% for m in messages %}{% set text = m.content %}{% set thought = '' %}"
    "{% if m.reasoning_content is string %}{% set thought = m.reasoning_content %}"
    "{% elif m.role == 'assistant' and '</think>' in text %}"
    "{% set thought = text.split('</think>')[0].split('<think>')[-1] %}"
    "{% set text = text.split('</think>')[-1].lstrip('\n') %}{% endif %}"
    "{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' and loop.index0 > ns.last %}"
    "{{ '<think>\n' + thought.strip('\n') + '\n</think>\n\n' + text.lstrip('\n') }}{% else %}{{ text }}{% endif %}"
    "{{ '<|im_end|>\n' }}{% endfor %}"
)
QWEN_3 = _QWEN_TURNS + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
QWEN_3_THINKING = _QWEN_TURNS + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n' }}{% endif %}"
QWQ = (
    "{% for m in messages %}{% set text = m.content %}{% if m.role == 'assistant' %}"
    "{% set text = text.split('</think>')[-1].lstrip('\n') %}{% endif %}"
    "{{ '<|im_start|>' + m.role + '\n' + text + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n' }}{% endif %}"
)
DEEPSEEK_R1 = (
    "{% set ns = namespace(system='') %}"
    "{% for m in messages %}{% if m.role == 'system' %}{% set ns.system = m.content %}{% endif %}{% endfor %}"
    "{{ bos_token + ns.system }}{% for m in messages %}{% if m.role == 'user' %}{{ '<\uff5cUser\uff5c>' + m.content }}"
    "{% elif m.role == 'assistant' %}"
    "{{ '<\uff5cAssistant\uff5c>' + m.content.split('</think>')[-1] + eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<\uff5cAssistant\uff5c><think>\n' }}{% endif %}"
)
GLM_4_5 = (
    "[gMASK]<sop>{% for m in messages %}{% if m.role == 'assistant' %}"
    "{{ '<|assistant|>\n<think>' + (m.reasoning_content or '').strip() + '</think>\n' + m.content.strip() }}"
    "{% else %}{{ '<|' + m.role + '|>\n' + m.content }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
HARMONY = (
    "{% for m in messages %}{% if m.role == 'assistant' %}"
    "{% if m.thinking and loop.last %}{{ '<|start|>assistant<|channel|>analysis<|message|>' + m.thinking + '<|end|>' }}"
    "{% endif %}{{ '<|start|>assistant<|channel|>final<|message|>' + m.content }}"
    "{{ '<|return|>' if loop.last else '<|end|>' }}"
    "{% else %}{{ '<|start|>' + m.role + '<|message|>' + m.content + '<|end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>assistant' }}{% endif %}"
)


@dataclass(frozen=True)
class Family:
    """A template and its tokenizer's tokens: control tokens, marks that are tokens but not control, start and end."""

    template: str
    special: tuple[str, ...]
    marks: tuple[str, ...] = ()
    bos: str | None = None
    eos: str = "</s>"


IM = ("<|im_start|>", "<|im_end|>")
THINK = ("<think>", "</think>")
FAMILIES = {
    "chatml": Family(CHATML, IM, eos="<|im_end|>"),
    "llama-2": Family(LLAMA_2, ("<s>", "</s>"), bos="<s>"),
    "llama-3": Family(
        LLAMA_3, ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"), bos="<|begin_of_text|>", eos="<|eot_id|>"
    ),
    "gemma-2": Family(GEMMA_2, ("<start_of_turn>", "<end_of_turn>"), ("\n\n",), bos="<bos>", eos="<eos>"),
    "mistral-0.1": Family(MISTRAL_1, ("<s>", "</s>"), bos="<s>"),
    "mistral-0.3": Family(MISTRAL_3, ("<s>", "</s>", "[INST]", "[/INST]"), bos="<s>"),
    "phi-3": Family(PHI_3, ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>"), eos="<|endoftext|>"),
    "zephyr": Family(ZEPHYR, ("<s>", "</s>")),
    "qwen-3": Family(QWEN_3, IM, THINK, eos="<|im_end|>"),
    "qwen-3-thinking": Family(QWEN_3_THINKING, IM, THINK, eos="<|im_end|>"),
    "qwq": Family(QWQ, IM, THINK, eos="<|im_end|>"),
    "deepseek-r1": Family(
        DEEPSEEK_R1,
        (),
        ("<\uff5cUser\uff5c>", "<\uff5cAssistant\uff5c>", *THINK),
        bos="<\uff5cbegin\u2581of\u2581sentence\uff5c>",
        eos="<\uff5cend\u2581of\u2581sentence\uff5c>",
    ),
    "glm-4.5": Family(
        GLM_4_5, ("[gMASK]", "<sop>", "<|user|>", "<|assistant|>", "<|endoftext|>"), THINK, eos="<|endoftext|>"
    ),
    "harmony": Family(HARMONY, ("<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|return|>"), eos="<|return|>"),
}


def load_family(model: Path, name: str) -> PreTrainedTokenizerBase:
    """Returns the tests' tiny tokenizer with a family's template and tokens."""
    family = FAMILIES[name]
    tokenizer = AutoTokenizer.from_pretrained(model)
    named = [token for token in (family.bos, family.eos) if token]
    special = [AddedToken(t, special=True, normalized=False) for t in dict.fromkeys([*family.special, *named])]
    marks = [AddedToken(t, special=False, normalized=False) for t in family.marks]
    tokenizer.add_tokens([*special, *marks])
    tokenizer.eos_token = family.eos
    tokenizer.bos_token = family.bos or tokenizer.pad_token
    tokenizer.chat_template = family.template
    return tokenizer


def save_family(model: Path, name: str, path: Path) -> Path:
    """Saves the tests' tiny model with a family's tokenizer and returns its folder."""
    tokenizer = load_family(model, name)
    causal = AutoModelForCausalLM.from_pretrained(model)
    causal.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    causal.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path
