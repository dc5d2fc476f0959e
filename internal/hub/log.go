package hub

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime"
	"sync"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"gopkg.in/natefinch/lumberjack.v2"
	"k8s.io/klog/v2"
)

// A logSink takes what the API server, the controllers and etcd have to say. Their goroutines may outlive the hub a
// little; what they say then goes nowhere, rather than into a data directory that is no longer ours.
type logSink struct {
	mu     sync.Mutex
	out    io.Writer
	closer io.Closer // nil if the writer is not ours to close
}

func openLog(dir dataDir, out io.Writer) *logSink {
	if out != nil {
		return &logSink{out: out}
	}
	// 40 MiB hold about a month of a busy hub.
	file := &lumberjack.Logger{Filename: dir.path(logFile), MaxSize: 10, MaxBackups: 3}
	return &logSink{out: file, closer: file}
}

// Write never fails: those who log would say so on the terminal, and a full disk is told of by etcd.
func (s *logSink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = s.out.Write(p)
	return len(p), nil
}

func (s *logSink) stop(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out = io.Discard
	if s.closer == nil {
		return nil
	}
	return s.closer.Close()
}

// captureKlog routes what the Kubernetes libraries of this process log, and what they would end it for. These settings
// are klog's own, one per process, and those that may be changed while others log.
func captureKlog(out io.Writer, fail func(error)) error {
	klog.LogToStderr(false)
	flags := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(flags)
	if err := flags.Set("stderrthreshold", "FATAL"); err != nil {
		return fmt.Errorf("route the log of the API server: %w", err)
	}
	// klog writes a message to the stream of its severity and to all lesser ones: the least gets everything.
	klog.SetOutputBySeverity("INFO", out)
	for _, severity := range []string{"WARNING", "ERROR", "FATAL"} {
		klog.SetOutputBySeverity(severity, io.Discard)
	}
	klog.OsExit = func(code int) {
		fail(fmt.Errorf("the API server gave up with exit code %d, see its log", code))
		runtime.Goexit() // klog's callers do not expect to go on
	}
	return nil
}

// newEtcdLogger makes a fatal error of etcd's, such as a full disk, end the hub instead of the process.
func newEtcdLogger(out io.Writer, fail func(error)) *zap.Logger {
	encoder := zap.NewProductionEncoderConfig()
	encoder.EncodeTime = zapcore.ISO8601TimeEncoder
	core := zapcore.NewCore(zapcore.NewConsoleEncoder(encoder), zapcore.AddSync(out), zap.InfoLevel)
	return zap.New(core, zap.AddCaller(), zap.WithFatalHook(fatalHook(fail)))
}

// A fatalHook tells why etcd ends, and ends the goroutine that could not go on.
type fatalHook func(error)

func (fail fatalHook) OnWrite(entry *zapcore.CheckedEntry, fields []zapcore.Field) {
	err := errors.New("etcd: " + entry.Message)
	for _, field := range fields {
		if cause, ok := field.Interface.(error); ok {
			err = fmt.Errorf("%w: %w", err, cause)
		}
	}
	fail(err)
	runtime.Goexit()
}
