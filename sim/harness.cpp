// Drives the verilated core: one run replays a control stream and a map stream and collects what
// comes out. sim/native.py is the only caller.
//
// Its pins are those of sim/harness.v: an edge takes what was applied into registers, and after it
// the pins show a whole clock cycle, the handshakes of the inputs just applied among them.

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "Vcore.h"
#include "verilated.h"
#if VM_TRACE_FST
#include "verilated_fst_c.h"
using Trace = VerilatedFstC;
#elif VM_TRACE_VCD
#include "verilated_vcd_c.h"
using Trace = VerilatedVcdC;
#endif

// A failed assertion or an error inside the model must not end the Python process.
[[noreturn]] static void give_up(const char* file, int line, const char* text) {
    const std::string path(file);
    throw std::runtime_error(path.substr(path.rfind('/') + 1) + ":" + std::to_string(line) + ": " + text);
}
void vl_stop(const char* file, int line, const char*) VL_MT_UNSAFE {
    give_up(file, line, "assertion failed");
}
void vl_fatal(const char* file, int line, const char*, const char* text) VL_MT_UNSAFE {
    give_up(file, line, text);
}
void vl_finish(const char*, int, const char*) VL_MT_UNSAFE {}

namespace {

constexpr int COUNTERS = 9;
constexpr uint32_t COUNTER_LATENCY = 3;  // cycles from `done` until the counters are final
constexpr uint32_t FAULT_WATCH = 64;  // cycles after a fault in which nothing may move

// These structures have their twins in sim/streams.py and sim/native.py.
struct __attribute__((packed)) MapBeat {
    uint64_t data;
    uint8_t bytes;
    uint8_t last;
};

struct __attribute__((packed)) OutBeat {
    uint64_t data;
    uint8_t bytes;
    uint8_t last;
    uint8_t context;
    uint32_t length;
};

struct LayerEnd {
    uint64_t cycle;  // cycles of the run up to `done`, itself included
    uint64_t counters[COUNTERS];
};

struct Job {
    const uint64_t* control;
    uint64_t control_count;
    const MapBeat* map;
    uint64_t map_count;
    uint64_t ends;  // `done` pulses to wait for
    double gap[3];  // chance that a gap begins: control, map, output
    uint32_t burst;  // mean cycles of a gap
    uint64_t seed;
};

struct State {
    uint64_t cycle;  // cycles of this run so far
    uint64_t first;  // cycle in which the first control word was taken
    uint64_t moved;  // cycle after the last transfer on any stream
    uint64_t control_taken;
    uint64_t map_taken;
    uint64_t out_count;
    uint64_t ends;
    uint64_t moved_after_fault;
    uint32_t fault;
    uint32_t fault_row;
    uint32_t fault_col;
    uint32_t busy;
};

// xorshift64*: the gaps depend on the seed alone, on every machine.
class Random {
public:
    void seed(uint64_t value) { state_ = value * 0x9E3779B97F4A7C15u | 1; }
    uint64_t next() {
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return state_ * 0x2545F4914F6CDD1Du;
    }

private:
    uint64_t state_ = 1;
};

// The idle times of one stream.
class Gaps {
public:
    void configure(double chance, uint32_t burst) {
        threshold_ = static_cast<uint64_t>(chance * 9007199254740992.0);  // 53 bits
        span_ = 2 * burst - 1;
        left_ = 0;
    }
    bool idle(Random& random) {
        if (threshold_ == 0) return false;
        if (left_ != 0) {
            --left_;
            return true;
        }
        if (random.next() >> 11 >= threshold_) return false;
        left_ = (random.next() >> 32) % span_;
        return true;
    }

private:
    uint64_t threshold_ = 0;
    uint32_t span_ = 1;
    uint32_t left_ = 0;
};

class Harness {
public:
    // Bits that a netlist leaves undefined are random with this seed; it is zero for other designs.
    Harness(const char* wave, uint32_t undefined) {
        context_.randReset(undefined ? 2 : 0);
        context_.randSeed(static_cast<int>(undefined & 0x7FFFFFFFu));
        core_.reset(new Vcore(&context_));
#if VM_TRACE
        if (*wave) {
            context_.traceEverOn(true);
            trace_.reset(new Trace);
            core_->trace(trace_.get(), 99);
            trace_->open(wave);
        }
#endif
        reset();
    }

    ~Harness() {
        core_->final();
#if VM_TRACE
        if (trace_) trace_->close();
#endif
    }

    void reset() {
        quiet();
        core_->rst = 1;
        cycle();
        cycle();
        core_->rst = 0;
        cycle();
    }

    // Pulses `clear`, and waits until the core is idle again; says whether it is.
    bool clear(uint64_t limit) {
        quiet();
        core_->clear = 1;
        cycle();
        core_->clear = 0;
        for (uint64_t i = 0; i < limit; ++i) {
            cycle();
            if (!core_->busy && !core_->fault) return true;
        }
        return false;
    }

    void start(const Job& job) {
        quiet();
        job_ = job;
        state_ = State{};
        out_.clear();
        ends_.clear();
        settling_ = 0;
        random_.seed(job.seed);
        control_gaps_.configure(job.gap[0], job.burst);
        map_gaps_.configure(job.gap[1], job.burst);
        out_gaps_.configure(job.gap[2], job.burst);
    }

    // Runs for up to `budget` cycles, less if the last awaited layer ends or the core faults.
    void run(uint64_t budget) {
        const uint64_t stop = state_.cycle + budget;
        while (state_.cycle < stop && state_.ends < job_.ends) {
            offer();
            cycle();
            const Moves moves = handshakes();
            advance(moves);
            if (core_->fault) {
                failed(moves);
                break;
            }
            if (settling_ != 0 && --settling_ == 0) ended();
            if (core_->done) {
                ends_.push_back({state_.cycle, {}});
                settling_ = COUNTER_LATENCY;
            }
        }
        state_.out_count = out_.size();
        state_.busy = core_->busy;
    }

    const State& state() const { return state_; }
    const OutBeat* out() const { return out_.data(); }
    const LayerEnd* ends() const { return ends_.data(); }

private:
    struct Moves {
        bool control, map, out;
        bool any() const { return control || map || out; }
    };

    Moves handshakes() const {
        return {core_->control_valid && core_->control_ready, core_->map_valid && core_->map_ready,
                core_->out_valid && core_->out_ready};
    }

    // Applies the inputs of the next cycle. What is offered stays until it is taken.
    void offer() {
        if (!core_->control_valid && state_.control_taken < job_.control_count &&
            !control_gaps_.idle(random_)) {
            core_->control_valid = 1;
            core_->control_word = job_.control[state_.control_taken];
        }
        if (!core_->map_valid && state_.map_taken < job_.map_count && !map_gaps_.idle(random_)) {
            const MapBeat& beat = job_.map[state_.map_taken];
            core_->map_valid = 1;
            core_->map_data = beat.data;
            core_->map_bytes = beat.bytes & 15u;
            core_->map_last = beat.last & 1u;
        }
        core_->out_ready = !out_gaps_.idle(random_);
    }

    // Keeps account of a cycle.
    void advance(const Moves& moves) {
        if (moves.control) {
            if (state_.control_taken++ == 0) state_.first = state_.cycle;
            core_->control_valid = 0;
        }
        if (moves.map) {
            ++state_.map_taken;
            core_->map_valid = 0;
        }
        if (moves.out) {
            out_.push_back({core_->out_data, core_->out_bytes, core_->out_last, core_->out_context,
                            core_->out_length});
        }
        ++state_.cycle;
        if (moves.any()) state_.moved = state_.cycle;
    }

    void ended() {
        ++state_.ends;
        LayerEnd& end = ends_.back();
        const uint64_t counters[COUNTERS] = {
            core_->c_cycles, core_->c_compute, core_->c_useful,    core_->c_busy, core_->c_decode,
            core_->c_weights, core_->c_drain,  core_->c_imbalance, core_->c_bus};
        std::copy(std::begin(counters), std::end(counters), end.counters);
    }

    // Notes the fault and watches whether anything still moves.
    void failed(Moves moves) {
        state_.fault = core_->fault;
        state_.fault_row = core_->fault_row;
        state_.fault_col = core_->fault_col;
        core_->out_ready = 1;
        for (uint32_t i = 0; i <= FAULT_WATCH; ++i) {
            state_.moved_after_fault += moves.control + moves.map + moves.out;
            cycle();
            moves = handshakes();
        }
    }

    void quiet() {
        core_->clear = 0;
        core_->control_valid = 0;
        core_->map_valid = 0;
        core_->out_ready = 0;
    }

    void cycle() {
        core_->clk = 0;
        eval();
        core_->clk = 1;
        eval();
    }

    void eval() {
        core_->eval();
#if VM_TRACE
        if (trace_) {
            trace_->dump(context_.time());
            context_.timeInc(1);
        }
#endif
    }

    VerilatedContext context_;
    std::unique_ptr<Vcore> core_;
#if VM_TRACE
    std::unique_ptr<Trace> trace_;
#endif
    Job job_{};
    State state_{};
    uint32_t settling_ = 0;  // cycles until the counters of the last layer are read
    std::vector<OutBeat> out_;
    std::vector<LayerEnd> ends_;
    Random random_;
    Gaps control_gaps_, map_gaps_, out_gaps_;
};

thread_local std::string error_text;

// Runs `body`; an exception becomes the value `failed`, and its text the thread's error text.
template <typename Result, typename Body>
Result guarded(Result failed, Body body) {
    try {
        return body();
    } catch (const std::exception& error) {
        error_text = error.what();
        return failed;
    }
}

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT const char* openhop_error() { return error_text.c_str(); }

EXPORT Harness* openhop_new(const char* wave, uint32_t undefined) {
    return guarded<Harness*>(nullptr, [&] { return new Harness(wave, undefined); });
}

EXPORT void openhop_delete(Harness* harness) { delete harness; }

EXPORT int openhop_reset(Harness* harness) {
    return guarded(-1, [&] { return harness->reset(), 0; });
}

EXPORT int openhop_clear(Harness* harness, uint64_t limit) {
    return guarded(-1, [&] { return harness->clear(limit) ? 1 : 0; });
}

EXPORT void openhop_start(Harness* harness, const Job* job) { harness->start(*job); }

EXPORT int openhop_run(Harness* harness, uint64_t budget, State* state) {
    return guarded(-1, [&] {
        harness->run(budget);
        *state = harness->state();
        return 0;
    });
}

EXPORT const OutBeat* openhop_out(Harness* harness) { return harness->out(); }

EXPORT const LayerEnd* openhop_ends(Harness* harness) { return harness->ends(); }
