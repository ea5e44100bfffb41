# This file is the life of the worker: ready, then call after call, until the front closes the pipe.

REQUEST_ID_BYTES <- 16L

work <- function(words) {
  options(warn = 1, keep.source = TRUE, stringsAsFactors = FALSE, browserNLdisabled = TRUE, error = GIVEN_UP)
  calls <- file(words[["calls"]], "rb", raw = TRUE)
  answers <- file(words[["answers"]], "wb", raw = TRUE)
  say <- function(kind, text, began = seconds(), took_ms = 0) {
    line <- charToRaw(paste0(kind, " ", sprintf("%.6f %.4f", began, took_ms), " ", text, "\n"))
    writeBin(line, answers)
    flush(answers)
  }
  instance <- jsonlite::fromJSON(words[["settings"]], simplifyVector = FALSE)
  model <- tryCatch(loaded(instance, say), load_failed = identity)
  if (inherits(model, "condition")) {
    say("load_failed", encode(list(reason = conditionMessage(model), detail = model$detail)))
    return(invisible())
  }
  say("described", description(model$binding, model$fun, instance))
  say("described_public", description(model$binding, model$fun, instance, is_public = TRUE))
  model$most_values <- most_by(instance$memory_bytes, VALUE_SHARE)
  rm(instance)
  warm_compiler()
  say("ready", "{}", took_ms = model$import_ms)
  own_id <- Sys.getpid()
  show_where_on_interrupt(while (serve_next(model, calls, say, own_id)) NULL)
  ended <- guarded(run_hook("shutdown", model$binding$name))
  if (!is.null(ended$condition)) log_event("shutdown_failed", trace = ended$trace)
}

# The compiler loads itself piece by piece with what it compiles first, 20 ms long: not in somebody's first call.
warm_compiler <- function() {
  compiler::cmpfun(function(x) {
    sum <- 0
    for (each in x) sum <- sum + each
    if (length(sum)) list(sum) else match.arg(x)
  })
}

# The function, its binding and how long it took to get them, once the example has been answered.
loaded <- function(instance, say) {
  began <- seconds()
  fun <- load_function(instance$project_dir, instance$file, instance[["function"]])
  model <- list(fun = fun, binding = binding_of(instance[["function"]], fun))
  begun <- guarded(run_hook("init", instance[["function"]]))
  if (!is.null(begun$condition)) {
    load_failed(paste0(instance$file, ": init() failed: ", one_line(described(begun$condition))), begun$trace)
  }
  model$import_ms <- max(0, seconds() - began) * 1000
  example <- instance$example_input
  if (!is.null(example) && nzchar(example)) {
    say("example", "{}")
    outcome <- show_where_on_interrupt(answer(model$binding, fun, charToRaw(enc2utf8(example))))
    if (outcome$kind != "answered") {
      load_failed(paste0("its example input failed: ", one_line(outcome$text)), outcome$trace)
    }
  }
  model
}

# Run the script's function `name` where it has one that can be called without arguments, and that is not `served`.
run_hook <- function(name, served) {
  if (name == served || !exists(name, envir = globalenv(), mode = "function", inherits = FALSE)) return(invisible())
  hook <- get(name, envir = globalenv(), mode = "function")
  if (length(binding_of(name, hook)$required) == 0L) call_with(hook, name, list())
  invisible()
}

# Answer the next call; FALSE when there will be none.
serve_next <- function(model, calls, say, own_id) {
  size <- readBin(calls, "integer", 1L, size = 4L)
  if (!length(size)) return(FALSE)
  request_id <- rawToChar(readBin(calls, "raw", REQUEST_ID_BYTES))
  body <- readBin(calls, "raw", size)
  if (length(body) < size) return(FALSE)
  options(modelway.request_id = request_id)
  sinks <- sink.number()
  outcome <- answer(model$binding, model$fun, body, model$most_values)
  if (Sys.getpid() != own_id) tools::pskill(Sys.getpid(), tools::SIGKILL) # the call has forked this process, and it came back
  tidy(sinks)
  if (outcome$kind == "failed") {
    trace <- if (nzchar(outcome$trace)) outcome$trace else outcome$text
    log_event("call_failed", request_id = request_id, trace = trace)
  }
  text <- if (outcome$kind == "answered") outcome$text else string_text(outcome$text)
  say(outcome$kind, text, outcome$began, outcome$took_ms)
  if (max(size, nchar(text, "bytes")) > LARGE) {
    rm(body, outcome, text)
    gc()
  }
  TRUE
}

# Put back what a call may leave behind and the log would miss: what is printed goes there, or where the script had it.
tidy <- function(sinks) {
  while (sink.number() > sinks) sink()
  if (sink.number("message") != 2L) sink(type = "message")
}

# The front interrupts a call that has passed its deadline, just before it kills this process: time to say where it is.
show_where_on_interrupt <- function(work) {
  show <- function(condition) {
    cat(trace_text(condition, sys.calls()), file = stderr())
    quit("no", status = 70L, runLast = FALSE)
  }
  withCallingHandlers(work, interrupt = show)
}
