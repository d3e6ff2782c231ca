#!/usr/bin/env bash
# GPT-2's tokenizer: 50,257 tokens with their ids, and the 50,000 merges that make them. The files that OpenAI published.
# shellcheck source=data/fetch.sh
source "$(dirname "${BASH_SOURCE[0]}")/fetch.sh"

home=https://openaipublic.blob.core.windows.net/gpt-2/encodings/main
fetch gpt2 encoder.json 1042301 196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783 $home/encoder.json
fetch gpt2 vocab.bpe 456318 1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5 $home/vocab.bpe
