// Simulates the pins of a board's top module, and connects its serial line to a pseudo-terminal.
// Prints the name of the terminal, then runs until it is killed.
//     board DIVISOR

#include <fcntl.h>
#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>

#include "Vboard.h"

namespace {

constexpr int BITS = 8;
constexpr long SLICE = 4096;     // cycles between two polls of the terminal
constexpr long REST = 1'000'000; // cycles without a byte after which the simulation slows down

// Bytes from the terminal to pin rx.
class Sender {
  public:
    explicit Sender(int divisor) : divisor(divisor) {}
    void push(uint8_t byte) { bytes.push_back(byte); }
    bool busy() const { return left > 0 || !bytes.empty(); }
    bool next() {
        if (left == 0 && !bytes.empty()) {
            frame = (1u << (BITS + 1)) | (bytes.front() << 1);
            bytes.pop_front();
            left = (BITS + 2) * divisor;
            time = 0;
        }
        if (left == 0) return true;
        const bool bit = frame >> (time / divisor) & 1;
        time++;
        left--;
        return bit;
    }

  private:
    const int divisor;
    std::deque<uint8_t> bytes;
    unsigned frame = 0;
    int left = 0, time = 0;
};

// Bytes from pin tx, sampled in the middle of each bit.
class Receiver {
  public:
    explicit Receiver(int divisor) : divisor(divisor) {}
    // Returns a byte, or -1.
    int next(bool line) {
        if (time < 0) {
            if (!line) time = 0, byte = 0;
            return -1;
        }
        time++;
        const int bit = time / divisor;
        if (time % divisor != divisor / 2) return -1;
        if (bit >= 1 && bit <= BITS) byte |= line << (bit - 1);
        if (bit <= BITS) return -1;
        time = -1;
        return byte;
    }

  private:
    const int divisor;
    int time = -1, byte = 0;
};

int open_terminal() {
    const int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    if (terminal < 0 || grantpt(terminal) || unlockpt(terminal)) {
        std::perror("pseudo-terminal");
        std::exit(1);
    }
    // Kept open, so that hosts can connect repeatedly. Bytes pass unchanged.
    const int other = open(ptsname(terminal), O_RDWR | O_NOCTTY);
    termios settings;
    tcgetattr(other, &settings);
    cfmakeraw(&settings);
    tcsetattr(other, TCSANOW, &settings);
    fcntl(terminal, F_SETFL, O_NONBLOCK);
    std::printf("%s\n", ptsname(terminal));
    std::fflush(stdout);
    return terminal;
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 2) return 2;
    const int divisor = std::atoi(arguments[1]);
    const int terminal = open_terminal();
    Sender sender(divisor);
    Receiver receiver(divisor);
    Vboard board;
    long quiet = 0;
    for (;;) {
        uint8_t buffer[256];
        const ssize_t got = read(terminal, buffer, sizeof buffer);
        for (ssize_t n = 0; n < got; n++) sender.push(buffer[n]);
        if (got > 0) quiet = 0;
        for (long cycle = 0; cycle < SLICE; cycle++) {
            board.rx = sender.next();
            board.clk = 0;
            board.eval();
            const int byte = receiver.next(board.tx);
            board.clk = 1;
            board.eval();
            if (byte >= 0) {
                const uint8_t out = byte;
                while (write(terminal, &out, 1) != 1) usleep(100);
                quiet = 0;
            }
        }
        quiet = sender.busy() ? 0 : quiet + SLICE;
        if (quiet > REST) {
            pollfd wait{terminal, POLLIN, 0};
            poll(&wait, 1, 5);
        }
    }
}
