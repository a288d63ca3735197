// Drives one design with a file of input payloads and collects the payloads of its outputs.
//
// outputs.h lists the outputs. Arguments: key=value, all required. Standard output: one "progress FRAMES" line about twice a
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
#include "outputs.h"
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

// One output of the design: its consumer and its transfers.
class Output {
  public:
    // Words of 32 bits lie in memory as in files, the least significant byte first.
    template <class Payload>
    Output(std::string name, const Payload& payload, const CData& valid, CData& ready,
           uint64_t frames, uint64_t frame, Pause stall)
        : name_{std::move(name)}, payload_{&payload}, size_bytes_{sizeof(Payload)},
          size_words_{words_of(payload)}, valid_{valid}, ready_{ready}, frame_{frame},
          total_{frames * frame}, stall_{stall}, given_(total_ * size_words_), held_(size_words_),
          now_(size_words_) {
        ready_ = 0;
    }
    const std::string& name() const { return name_; }
    const Words& given() const { return given_; }
    bool valid() const { return valid_; }
    bool complete() const { return count_ == total_; }
    uint64_t frames() const { return count_ / frame_; }
    bool frame_ended() const { return count_ % frame_ == 0; }
    std::string situation() const {
        return name_ + " gave " + std::to_string(count_) + " of " + std::to_string(total_);
    }
    // Before the rising edge: choose ready.
    void choose() { ready_ = complete() || !stall_.paused(); }
    // After the design has settled: accept a transfer and check the stream rules. Returns whether
    // there was a transfer. fail(reason) does not return.
    template <class Fail>
    bool take(const Fail& fail) {
        if (waited_) {
            if (!valid_) fail(name_ + ": valid fell before the transfer");
            read(now_.data());
            if (now_ != held_) fail(name_ + ": payload changed while valid waited for ready");
        }
        waited_ = valid_ && !ready_;
        if (waited_) read(held_.data());
        stall_.step();
        if (!valid_ || !ready_) return false;
        if (complete()) fail(name_ + ": transfer after the last frame");
        read(&given_[count_ * size_words_]);
        ++count_;
        return true;
    }

  private:
    void read(uint32_t* words) const { std::memcpy(words, payload_, size_bytes_); }

    std::string name_;
    const void* payload_;
    size_t size_bytes_, size_words_;
    const CData& valid_;
    CData& ready_;
    uint64_t frame_, total_, count_ = 0;
    Pause stall_;
    Words given_, held_, now_;
    bool waited_ = false;  // the transfer waited for ready in the cycle before
};

}  // namespace

int main(int argc, char** argv) {
    const Arguments args{argc, argv};
    VerilatedContext context;
    Vbench dut{&context};

    const uint64_t frames = args.number("frames");
    const uint64_t frame_in = args.number("frame_in"), total_in = frames * frame_in;
    const uint64_t watchdog = args.number("watchdog");
    const size_t words_in = words_of(dut.in_payload);
    const Words inputs = load(args.text("input"), total_in * words_in);
    std::vector<uint64_t> first_input(frames), last_output(frames);
    Pause gap{args.number("gap_begin"), args.number("gap_end"), args.number("gap_seed")};
    std::vector<Output> outputs;
#define ADD_OUTPUT(N, NAME)                                                              \
    outputs.emplace_back(NAME, dut.out_##N##_payload, dut.out_##N##_valid,               \
                         dut.out_##N##_ready, frames, args.number("frame_out_" #N),      \
                         Pause{args.number("stall_begin"), args.number("stall_end"),     \
                               args.number("stall_seed_" #N)});
    FOR_EACH_OUTPUT(ADD_OUTPUT)

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
    for (int i = 0; i < 4; ++i) {
        settle(false);
        settle(true);
    }
    // The design's reset is a cycle later.
    dut.rst = 0;
    settle(false);
    settle(true);

    uint64_t in = 0, cycle = 0, last_transfer = 0;
    uint64_t drain = 256;  // cycles in which to look for transfers after the last frame
    bool pending = false;  // valid is 1 without a transfer so far: it must hold
    const auto fail = [&](const std::string& reason) {
        dut.final();
#if VM_TRACE
        if (waveform) waveform->close();
#endif
        std::printf("error %s at cycle %" PRIu64 "; input accepted %" PRIu64 " of %" PRIu64
                    " transfers",
                    reason.c_str(), cycle, in, total_in);
        for (const Output& output : outputs) std::printf(", %s", output.situation().c_str());
        std::printf("\n");
        std::exit(3);
    };
    auto reported = std::chrono::steady_clock::now();
    for (;; ++cycle) {
        const bool offer = in < total_in && (pending || !gap.paused());
        if (offer && !pending) write_port(dut.in_payload, &inputs[in * words_in]);
        dut.in_valid = offer;
        for (Output& output : outputs) output.choose();
        settle(false);

        const bool accepted = offer && dut.in_ready;
        bool given = false, complete = true;
        for (Output& output : outputs) {
            if (output.take(fail)) {
                given = true;
                if (output.frame_ended()) last_output[output.frames() - 1] = cycle;
            }
            complete &= output.complete();
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
        if (cycle - last_transfer >= (complete ? drain : watchdog)) {
            if (complete) break;
            std::string where = in < total_in && !dut.in_ready ? "input is not ready" : "";
            for (const Output& output : outputs) {
                if (output.complete()) continue;
                if (!where.empty()) where += " and ";
                where += output.name() + (output.valid() ? " waits for ready" : " is not valid");
            }
            fail("no transfer for " + std::to_string(watchdog) + " cycles: " + where);
        }
        gap.step();
        if ((cycle & 1023) == 0) {
            const auto now = std::chrono::steady_clock::now();
            if (now - reported > std::chrono::milliseconds(500)) {
                reported = now;
                uint64_t done = frames;
                for (const Output& output : outputs) done = std::min(done, output.frames());
                std::printf("progress %" PRIu64 "\n", done);
                std::fflush(stdout);
            }
        }
    }
    dut.final();
#if VM_TRACE
    if (waveform) waveform->close();
#endif
    if (in != total_in) fail("output was complete before the input");
    for (size_t i = 0; i < outputs.size(); ++i)
        save(args.text("output_" + std::to_string(i)), outputs[i].given());
    save(args.text("first_input"), first_input);
    save(args.text("last_output"), last_output);
    std::printf("done %" PRIu64 "\n", frames ? last_output[frames - 1] + 1 : 0);
    return 0;
}
