"""Small hub checkpoints with random weights, made on the spot: one function an architecture.

Each folder holds what a hub checkpoint of its kind does: weights, configuration, processor, tokenizer, chat template.
"""

from pathlib import Path

import torch
import transformers as tr
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

TEXTS = [
    "Findings: The lungs are clear. Impression: Normal.",
    "Findings: Large left effusion. Impression: Pleural effusion on the left.",
    "USER: ASSISTANT: You are a radiologist. Write the report of this chest X-ray as plain text in the form",
]
MEAN = STD = [0.5, 0.5, 0.5]
SIDE = 16
CHAT = (
    "{% for message in messages %}{{ message['role'] | upper }}: {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}IMAGE{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{% if message['role'] == 'assistant' %}<end>{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)


def byte_tokenizer(*special, **named):
    """Byte-level BPE with `<pad>`, `<end>` and further special tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<pad>", "<end>", *special],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tr.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<end>", bos_token="<end>", **named
    )


def word_tokenizer():
    """BERT's kind, as captioning networks have it."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(
        TEXTS, trainers.WordPieceTrainer(vocab_size=200, special_tokens=special, show_progress=False)
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tr.BertTokenizerFast(tokenizer_object=tokenizer)


def picture_options(side=SIDE):
    return {"size": {"height": side, "width": side}, "image_mean": MEAN, "image_std": STD}


VIT = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, "image_size": SIDE,
       "patch_size": 8}  # fmt: skip
TEXT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2,
        "intermediate_size": 64, "max_position_embeddings": 256}  # fmt: skip


def vit_gpt2(folder):
    """VisionEncoderDecoder: ViT and GPT-2 with cross-attention."""
    tokenizer = byte_tokenizer()
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    decoder = tr.GPT2Config(
        vocab_size=len(tokenizer), n_embd=32, n_layer=1, n_head=2, n_positions=128, bos_token_id=end,
        eos_token_id=end, add_cross_attention=True, is_decoder=True, initializer_range=0.05, embd_pdrop=0.0,
        resid_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    encoder = tr.ViTConfig(**VIT)
    config = tr.VisionEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    config.decoder_start_token_id, config.eos_token_id, config.pad_token_id = end, end, pad
    save(folder, tr.VisionEncoderDecoderModel(config), tr.ViTImageProcessor(**picture_options()), tokenizer)


def blip(folder):
    tokenizer = word_tokenizer()
    n = len(tokenizer)
    text = {**TEXT, "vocab_size": n, "bos_token_id": 2, "eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0,
            "encoder_hidden_size": 16, "max_position_embeddings": 64}  # fmt: skip
    config = tr.BlipConfig(text_config=text, vision_config=VIT, projection_dim=16)
    pictures = tr.BlipImageProcessor(**picture_options())
    save(folder, tr.BlipForConditionalGeneration(config), tr.BlipProcessor(pictures, tokenizer))


def git(folder):
    tokenizer = word_tokenizer()
    config = tr.GitConfig(
        vision_config=VIT, vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=64, bos_token_id=2, eos_token_id=3, pad_token_id=0,
    )  # fmt: skip
    pictures = tr.CLIPImageProcessor(
        do_center_crop=False, image_mean=MEAN, image_std=STD, size={"height": SIDE, "width": SIDE}
    )
    save(folder, tr.GitForCausalLM(config), tr.GitProcessor(pictures, tokenizer))


def llava(folder):
    """A vision tower, a projector and Llama."""
    tokenizer = byte_tokenizer("<image>", image_token="<image>")
    tokenizer.chat_template = CHAT.replace("IMAGE", "<image>")
    vision = tr.CLIPVisionConfig(**VIT, projection_dim=16)
    config = tr.LlavaConfig(
        vision_config=vision, text_config=tr.LlamaConfig(**TEXT, **special(tokenizer)),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"), vision_feature_layer=-1,
    )  # fmt: skip
    pictures = tr.CLIPImageProcessor(**picture_options(), crop_size={"height": SIDE, "width": SIDE})
    processor = tr.LlavaProcessor(
        pictures, tokenizer, patch_size=8, vision_feature_select_strategy="default", num_additional_image_tokens=1,
        image_token="<image>", chat_template=tokenizer.chat_template,
    )  # fmt: skip
    save(folder, tr.LlavaForConditionalGeneration(config), processor)


def qwen2_vl(folder):
    """Images of any size, positions in three dimensions."""
    names = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    tokenizer = byte_tokenizer(*names)
    tokenizer.chat_template = CHAT.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>")
    start, end, image, video = tokenizer.convert_tokens_to_ids(list(names))
    ids = {"vision_start_token_id": start, "vision_end_token_id": end, "image_token_id": image, "video_token_id": video}
    text = {**TEXT, **special(tokenizer), "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]}}
    vision = {"depth": 1, "embed_dim": 16, "hidden_size": 32, "num_heads": 2, "patch_size": 4, "mlp_ratio": 2}
    config = tr.Qwen2VLConfig(text_config=text, vision_config=vision, **ids)
    pictures = tr.Qwen2VLImageProcessor(
        patch_size=4, merge_size=2, min_pixels=16 * 16, max_pixels=32 * 32, image_mean=MEAN, image_std=STD
    )
    video_processor = tr.Qwen2VLVideoProcessor(patch_size=4, merge_size=2)
    processor = tr.Qwen2VLProcessor(pictures, tokenizer, video_processor, chat_template=tokenizer.chat_template)
    save(folder, tr.Qwen2VLForConditionalGeneration(config), processor)


def paligemma(folder):
    """Without a chat template; the prompt is read in both directions."""
    tokenizer = byte_tokenizer("<bos>", "<image>")
    tokenizer.bos_token = "<bos>"
    vision = {**VIT, "projection_dim": 32, "vision_use_head": False}
    text = {**TEXT, **special(tokenizer), "model_type": "gemma", "head_dim": 16}
    text["vocab_size"] += 1200  # the processor adds its tokens of places
    config = tr.PaliGemmaConfig(
        vision_config=vision, text_config=text, projection_dim=32, hidden_size=32,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )  # fmt: skip
    pictures = tr.SiglipImageProcessor(**picture_options())
    pictures.image_seq_length = 4
    save(folder, tr.PaliGemmaForConditionalGeneration(config), tr.PaliGemmaProcessor(pictures, tokenizer))


def idefics3(folder):
    names = ("<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>")
    tokenizer = byte_tokenizer(*names)
    tokenizer.chat_template = CHAT.replace("IMAGE", "<image>").replace("<end>", "<end_of_utterance>")
    config = tr.Idefics3Config(
        vision_config=VIT, text_config=tr.LlamaConfig(**TEXT, **special(tokenizer)), scale_factor=2,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"), pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    pictures = tr.Idefics3ImageProcessor(
        size={"longest_edge": SIDE}, max_image_size={"longest_edge": SIDE}, image_mean=MEAN, image_std=STD
    )
    processor = tr.Idefics3Processor(pictures, tokenizer, image_seq_len=1, chat_template=tokenizer.chat_template)
    network = tr.Idefics3ForConditionalGeneration(config)
    network.generation_config.eos_token_id = [
        tokenizer.eos_token_id,
        tokenizer.convert_tokens_to_ids("<end_of_utterance>"),
    ]
    save(folder, network, processor)


def gemma3(folder):
    """MedGemma's architecture."""
    names = ("<bos>", "<start_of_image>", "<end_of_image>", "<image_soft_token>")
    tokenizer = byte_tokenizer(
        *names,
        extra_special_tokens={"boi_token": names[1], "eoi_token": names[2], "image_token": names[3]},
    )
    tokenizer.bos_token = "<bos>"
    tokenizer.chat_template = "{{ bos_token }}" + CHAT.replace("IMAGE", "<start_of_image>")
    _, begin, end, image = tokenizer.convert_tokens_to_ids(list(names))
    text = {**TEXT, **special(tokenizer), "head_dim": 16, "sliding_window": 64}
    config = tr.Gemma3Config(
        vision_config={**VIT, "vision_use_head": False}, text_config=text, mm_tokens_per_image=4,
        boi_token_index=begin, eoi_token_index=end, image_token_index=image,
    )  # fmt: skip
    pictures = tr.Gemma3ImageProcessor(**picture_options())
    processor = tr.Gemma3Processor(pictures, tokenizer, tokenizer.chat_template, image_seq_length=4)
    network = tr.Gemma3ForConditionalGeneration(config)
    save(folder, network, processor)


def special(tokenizer):
    return {"vocab_size": len(tokenizer), "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}  # fmt: skip


CAPTIONING = {"vit-gpt2": vit_gpt2, "blip": blip, "git": git}
PROMPTED = {"llava": llava, "qwen2-vl": qwen2_vl, "paligemma": paligemma, "idefics3": idefics3, "gemma3": gemma3}


def make(kind, folder: Path):
    torch.manual_seed(0)
    (CAPTIONING | PROMPTED)[kind](folder)
    (folder / "README.md").write_text(f"---\nlicense: apache-2.0\n---\n# {kind}\n")
    return folder


def save(folder, network, *others):
    # With transformers' small initial weights no hidden state makes a token likely, and LoRA leaves this layer alone.
    output = network.get_output_embeddings()
    if output is not None and output.weight is not network.get_input_embeddings().weight:
        output.weight.data.mul_(10)
    network.save_pretrained(folder)
    for each in others:
        each.save_pretrained(folder)
