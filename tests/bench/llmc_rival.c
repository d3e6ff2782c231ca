/* llmc_rival.c - the training step of llm.c's CPU program, served like train_step.cpp serves ours: "run N" on stdin takes N
   steps and answers with one line of JSON. compare.py compiles it against the reader's own checkout (--llmc FOLDER), whose
   train_gpt2.c it includes as that repository's own tests do (TESTING leaves its main out); nothing of it is kept here.
   Weights and tokens are train_step.cpp's, so that the losses of both programs can be compared.
   Run: gcc -Ofast -march=native -fopenmp -DOMP -w -I FOLDER -o llmc_rival tests/bench/llmc_rival.c -lm
        echo run 2 | OMP_NUM_THREADS=2 ./llmc_rival d */
#define TESTING
#include "train_gpt2.c"

#include <sys/resource.h>

/* ---- Weights and tokens: twin of tests/support/golden.h, which explains them ---- */

static uint64_t name_hash(const char* name) {
    uint64_t h = 0xCBF29CE484222325u;
    for (; *name; name++) h = (h ^ (uint8_t)*name) * 0x100000001B3u;
    return h;
}

static void fill(float* parameter, size_t size, const char* name, float base) {
    const uint64_t seed = name_hash(name);
    for (size_t i = 0; i < size; i++) {
        uint64_t z = seed + (i + 1) * 0x9E3779B97F4A7C15u;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        const int32_t bits = (int32_t)((z ^ (z >> 31)) >> 40);
        parameter[i] = base + 0x1p-5f * ((float)(bits - (1 << 23)) * 0x1p-23f);
    }
}

static int* token_stream(size_t n, int V) {
    uint64_t state = 1337;
    int64_t previous = 0;
    int* tokens = malloc(n * sizeof(int));
    for (size_t i = 0; i < n; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        const uint64_t r = state >> 40;
        if (r & 1) {
            previous = (previous * 7 + 3) % V;
        } else {
            const int64_t rank = (int64_t)pow((double)V, (double)(r >> 1) / 8388608.0) - 1;
            previous = rank < V - 1 ? rank : V - 1;
        }
        tokens[i] = (int)previous;
    }
    return tokens;
}

/* ---- The model: GPT-2's 124M with T positions, its layers' tensors one behind the other as train_gpt2.c has them ---- */

static void fill_layers(float* first, size_t size, int L, const char* name, float base) {
    char full[64];
    for (int l = 0; l < L; l++) {
        snprintf(full, sizeof full, "h.%d.%s", l, name);
        fill(first + l * size, size, full, base);
    }
}

static void build(GPT2* model, int T) {
    memset(model, 0, sizeof *model);
    model->config = (GPT2Config){.max_seq_len = T, .vocab_size = 50257, .padded_vocab_size = 50304,
                                 .num_layers = 12, .num_heads = 12, .channels = 768};
    fill_in_parameter_sizes(model->param_sizes, model->config);
    for (int i = 0; i < NUM_PARAMETER_TENSORS; i++) model->num_parameters += model->param_sizes[i];
    model->params_memory = malloc_and_point_parameters(&model->params, model->param_sizes);
    const ParameterTensors p = model->params;
    const size_t V = 50257, C = 768, padding = (50304 - V) * C;
    const int L = 12;
    fill(p.wte, V * C, "wte.weight", 0);
    memset(p.wte + V * C, 0, padding * sizeof(float));
    fill(p.wpe, (size_t)T * C, "wpe.weight", 0);
    fill_layers(p.ln1w, C, L, "ln_1.weight", 1), fill_layers(p.ln1b, C, L, "ln_1.bias", 0);
    fill_layers(p.qkvw, 3 * C * C, L, "attn.c_attn.weight", 0), fill_layers(p.qkvb, 3 * C, L, "attn.c_attn.bias", 0);
    fill_layers(p.attprojw, C * C, L, "attn.c_proj.weight", 0), fill_layers(p.attprojb, C, L, "attn.c_proj.bias", 0);
    fill_layers(p.ln2w, C, L, "ln_2.weight", 1), fill_layers(p.ln2b, C, L, "ln_2.bias", 0);
    fill_layers(p.fcw, 4 * C * C, L, "mlp.c_fc.weight", 0), fill_layers(p.fcb, 4 * C, L, "mlp.c_fc.bias", 0);
    fill_layers(p.fcprojw, 4 * C * C, L, "mlp.c_proj.weight", 0), fill_layers(p.fcprojb, C, L, "mlp.c_proj.bias", 0);
    fill(p.lnfw, C, "ln_f.weight", 1), fill(p.lnfb, C, "ln_f.bias", 0);
    model->mean_loss = -1;
}

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(int argc, char** argv) {
    const int is_f = argc == 2 && !strcmp(argv[1], "f");
    if (argc != 2 || (!is_f && strcmp(argv[1], "d"))) {
        fprintf(stderr, "usage: llmc_rival d|f\n");
        return 2;
    }
    const int B = is_f ? 1 : 4, T = is_f ? 1024 : 64, kStreamBatches = 64;
    GPT2 model;
    build(&model, T);
    int* tokens = token_stream((size_t)B * T * kStreamBatches + 1, 50257);
    /* train_gpt2.c reports sizes on stdout, where the answers go. */
    FILE* answers = fdopen(dup(1), "w");
    if (!answers || !freopen("/dev/null", "w", stdout)) return 1;

    int taken = 0, count = 0;
    while (scanf(" run %d", &count) == 1) {
        const double begin = now_s();
        for (int i = 0; i < count; i++) {
            int* batch = tokens + (size_t)(taken % kStreamBatches) * B * T;
            gpt2_forward(&model, batch, batch + 1, B, T);
            gpt2_zero_grad(&model);
            gpt2_backward(&model);
            gpt2_update(&model, 1e-4f, 0.9f, 0.999f, 1e-8f, 0.01f, ++taken);
        }
        const double seconds = now_s() - begin;
        struct rusage usage;
        getrusage(RUSAGE_SELF, &usage);
        fprintf(answers, "{\"seconds\": %.9f, \"steps\": %d, \"step\": %d, \"loss\": %.9g, \"peak_rss_mib\": %ld, "
                "\"version\": \"llm.c\"}\n", seconds, count, taken, (double)model.mean_loss, usage.ru_maxrss / 1024);
        fflush(answers);
    }
    return 0;
}
