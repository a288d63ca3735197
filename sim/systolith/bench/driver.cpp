// Drives one design with a file of input payloads and collects its output payloads.
//
// Arguments: key=value, all required. Standard output: one "progress FRAMES" line about twice a
// second, then "done CYCLES"; or "error REASON" with exit status 3.
#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "Vbench.h"
#include "verilated.h"
#if VM_TRACE
#include "verilated_fst_c.h"
#endif

namespace {

using Words = std::vector<uint32_t>;

// Payload ports are char to uint64_t, or VlWide<N> above 64 bits.
template <class T>
constexpr size_t words_of(const T&) {
    return sizeof(T) > 4 ? 2 : 1;
}
template <size_t N>
constexpr size_t words_of(const VlWide<N>&) {
    return N;
}
template <class T>
void write_port(T& port, const uint32_t* words) {
    uint64_t value = words[0];
    if (sizeof(T) > 4) value |= uint64_t{words[1]} << 32;
    port = static_cast<T>(value);
}
template <size_t N>
void write_port(VlWide<N>& port, const uint32_t* words) {
    std::memcpy(port.data(), words, 4 * N);
}
template <class T>
void read_port(const T& port, uint32_t* words) {
    words[0] = static_cast<uint32_t>(port);
    if (sizeof(T) > 4) words[1] = static_cast<uint32_t>(static_cast<uint64_t>(port) >> 32);
}
template <size_t N>
void read_port(const VlWide<N>& port, uint32_t* words) {
    std::memcpy(words, port.data(), 4 * N);
}

// The chain of systolith.bench.stalls.Pause, and of stall.sv: one xorshift32 step per cycle.
class Pause {
  public:
    Pause(uint64_t begin, uint64_t end, uint64_t seed)
        : begin_{begin}, end_{end}, state_{static_cast<uint32_t>(seed)} {}
    bool paused() const { return paused_; }
    void step() {
        if (!begin_) return;
        state_ ^= state_ << 13;
        state_ ^= state_ >> 17;
        state_ ^= state_ << 5;
        paused_ = paused_ ? state_ >= end_ : state_ < begin_;
    }

  private:
    uint64_t begin_, end_;
    uint32_t state_;
    bool paused_ = false;
};

class Arguments {
  public:
    Arguments(int argc, char** argv) {
        for (int i = 1; i < argc; ++i) {
            const std::string text{argv[i]};
            const size_t split = text.find('=');
            if (split != std::string::npos) values_[text.substr(0, split)] = text.substr(split + 1);
        }
    }
    const std::string& text(const std::string& key) const { return values_.at(key); }
    uint64_t number(const std::string& key) const { return std::stoull(text(key)); }

  private:
    std::map<std::string, std::string> values_;
};

template <class T>
void save(const std::string& path, const std::vector<T>& values) {
    std::ofstream file{path, std::ios::binary};
    file.write(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
    if (!file.flush()) {
        std::printf("error cannot write %s\n", path.c_str());
        std::exit(3);
    }
}

Words load(const std::string& path, size_t words) {
    Words values(words);
    std::ifstream file{path, std::ios::binary};
    if (!file.read(reinterpret_cast<char*>(values.data()), words * 4)) {
        std::printf("error cannot read %zu words from %s\n", words, path.c_str());
        std::exit(3);
    }
    return values;
}

}  // namespace

int main(int argc, char** argv) {
    const Arguments args{argc, argv};
    VerilatedContext context;
    Vbench dut{&context};

    const uint64_t frames = args.number("frames");
    const uint64_t frame_in = args.number("frame_in"), frame_out = args.number("frame_out");
    const uint64_t watchdog = args.number("watchdog");
    const uint64_t total_in = frames * frame_in, total_out = frames * frame_out;
    const size_t words_in = words_of(dut.in_payload), words_out = words_of(dut.out_payload);
    const Words inputs = load(args.text("input"), total_in * words_in);
    Words outputs(total_out * words_out), extra(words_out);
    std::vector<uint64_t> first_input(frames), last_output(frames);
    Pause gap{args.number("gap_begin"), args.number("gap_end"), args.number("gap_seed")};
    Pause stall{args.number("stall_begin"), args.number("stall_end"), args.number("stall_seed")};

    uint64_t time = 0;
#if VM_TRACE
    std::unique_ptr<VerilatedFstC> waveform;
    if (!args.text("waveform").empty()) {
        context.traceEverOn(true);
        waveform = std::make_unique<VerilatedFstC>();
        dut.trace(waveform.get(), 99);
        waveform->open(args.text("waveform").c_str());
    }
#endif
    const auto settle = [&](bool clock) {
        dut.clk = clock;
        dut.eval();
#if VM_TRACE
        if (waveform) waveform->dump(time);
#endif
        time += 5;
    };

    dut.rst = 1;
    dut.in_valid = 0;
    dut.out_ready = 0;
    for (int i = 0; i < 4; ++i) {
        settle(false);
        settle(true);
    }
    dut.rst = 0;

    const auto fail = [&](const std::string& reason, uint64_t cycle, uint64_t in, uint64_t out) {
        dut.final();
#if VM_TRACE
        if (waveform) waveform->close();
#endif
        std::printf("error %s at cycle %" PRIu64 "; input accepted %" PRIu64 " of %" PRIu64
                    " transfers, output gave %" PRIu64 " of %" PRIu64 "\n",
                    reason.c_str(), cycle, in, total_in, out, total_out);
        std::exit(3);
    };

    uint64_t in = 0, out = 0, cycle = 0, last_transfer = 0;
    uint64_t drain = 256;          // how long to look for transfers after the last frame
    bool pending = false;          // valid was raised and not yet accepted: it must stay
    bool held = false;             // the output waited for ready in the cycle before
    Words held_payload(words_out), payload(words_out);
    auto reported = std::chrono::steady_clock::now();
    for (;; ++cycle) {
        const bool offer = in < total_in && (pending || !gap.paused());
        if (offer && !pending) write_port(dut.in_payload, &inputs[in * words_in]);
        dut.in_valid = offer;
        dut.out_ready = out == total_out || !stall.paused();
        settle(false);

        if (held) {
            if (!dut.out_valid) fail("output: valid fell before the transfer", cycle, in, out);
            read_port(dut.out_payload, payload.data());
            if (payload != held_payload)
                fail("output: payload changed while valid waited for ready", cycle, in, out);
        }
        const bool accepted = offer && dut.in_ready;
        const bool given = dut.out_valid && dut.out_ready;
        held = dut.out_valid && !dut.out_ready;
        if (held) read_port(dut.out_payload, held_payload.data());
        if (given) {
            if (out == total_out) fail("output: transfer after the last frame", cycle, in, out);
            read_port(dut.out_payload, &outputs[out * words_out]);
            last_output[out / frame_out] = cycle;
            ++out;
        }
        settle(true);

        if (accepted) {
            if (in % frame_in == 0) first_input[in / frame_in] = cycle;
            ++in;
        }
        pending = offer && !accepted;
        if (accepted || given) {
            drain = std::max(drain, 2 * (cycle - last_transfer));
            last_transfer = cycle;
        }
        if (cycle - last_transfer >= (out == total_out ? drain : watchdog)) {
            if (out == total_out) break;
            fail("no transfer for " + std::to_string(watchdog) + " cycles: " +
                     (in < total_in && !dut.in_ready ? "input is not ready and " : "") +
                     (dut.out_valid ? "output waits for ready" : "output is not valid"),
                 cycle, in, out);
        }
        gap.step();
        stall.step();
        if ((cycle & 1023) == 0) {
            const auto now = std::chrono::steady_clock::now();
            if (now - reported > std::chrono::milliseconds(500)) {
                reported = now;
                std::printf("progress %" PRIu64 "\n", out / frame_out);
                std::fflush(stdout);
            }
        }
    }
    dut.final();
#if VM_TRACE
    if (waveform) waveform->close();
#endif
    if (in != total_in) fail("output was complete before the input", cycle, in, out);
    save(args.text("output"), outputs);
    save(args.text("first_input"), first_input);
    save(args.text("last_output"), last_output);
    std::printf("done %" PRIu64 "\n", frames ? last_output[frames - 1] + 1 : 0);
    return 0;
}
