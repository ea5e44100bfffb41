# This file is what the front knows and decides: how far the worker is, which call runs, what every caller is told.
#
# A worker that dies, or passes a call's deadline, is replaced; one that cannot load the script ends the instance.

EARLY_ENDS <- 5L # workers in a row that end before they are ready, when earlier ones had been
PUBLIC_BASE <- "^/models/[0-9a-f]{24}/(latest|labels/[a-z0-9-]{1,40})$" # where the router says that it has a model
SERVER_HERE <- '"servers":[{"url":"."}]' # as it stands in a document
STACK_S <- 0.5 # what a worker that is interrupted has to say where it is, before it is killed

new_front <- function(instance, place, open_door, close_door) {
  front <- new.env()
  front$instance <- instance
  front$place <- place
  front$open_door <- open_door
  front$close_door <- close_door
  front$release <- release_text(instance)
  front$number <- 0L
  front$child <- NULL
  front$call <- NULL # the running one
  front$waiting <- list() # those held until the running one is done
  front$was_ever_ready <- FALSE
  front$early_ends <- 0L
  front$is_stopping <- FALSE
  front$stop_by <- 0
  front$had_call_at_stop <- FALSE
  front$unanswered <- 0L # answers that are promised and not yet given to httpuv
  front$is_littered <- FALSE # whether a large call left much behind, which R would keep until it needs more
  front$status <- NULL # of this process, once it is to end
  front$health <- function(req) health(front, req)
  front$openapi <- function(req) openapi(front, req)
  front$model <- function(req, body) accept(front, req, body)
  front
}

start_worker <- function(front) {
  place <- front$place
  front$number <- front$number + 1L
  front$child <- start_child(place$here, place$work, place$tie, place$settings_file, front$number)
}

# 200 while the worker can work or works in time.
health <- function(front, req) {
  stage <- front$child$stage
  if (stage == "ready") {
    body <- list(status = "ok", instance_id = front$instance$instance_id, worker = 0L)
    return(response(req, 200L, encode(body)))
  }
  response(req, 503L, encode(list(status = if (stage == "wedged") "wedged" else "starting")))
}

# What the function takes and gives, as its worker told before it was ready: also while a call runs.
openapi <- function(front, req) {
  base <- header(req, "X_MODELWAY_BASE", "")
  is_public <- grepl(PUBLIC_BASE, base)
  text <- if (is_public) front$child$openapi_public else front$child$openapi
  if (is_public) text <- sub(SERVER_HERE, paste0('"servers":[{"url":"', base, '"}]'), text, fixed = TRUE)
  if (nzchar(text)) return(response(req, 200L, text))
  is_ready <- front$child$stage == "ready"
  if (is_ready) return(refusal(front, req, 500L, "the function could not be described; the instance's log says why"))
  refusal(front, req, 503L, "this worker is not ready", list("Retry-After" = "1"))
}

# A promise of the answer to one call.
accept <- function(front, req, body) {
  promises::promise(function(resolve, reject) {
    body <- tryCatch(plain_body(req, body, front$instance), body_refused = identity)
    call <- list(req = req, body = body, resolve = resolve, until = seconds() + min(hold_s(req), left_s(front$instance, req)))
    if (inherits(body, "body_refused")) {
      turn_away(front, call, body$status, conditionMessage(body))
    } else if (front$child$stage != "ready" || front$is_stopping) {
      turn_away(front, call, 503L, "this worker is not ready", list("Retry-After" = "1"))
    } else if (is.null(front$call)) {
      begin(front, call)
    } else if (call$until > seconds()) {
      front$waiting <- c(front$waiting, list(call))
    } else {
      busy(front, call)
    }
  })
}

begin <- function(front, call) {
  left <- left_s(front$instance, call$req)
  if (left <= 0) {
    limit <- timeout_words(front)
    return(turn_away(front, call, 504L, paste0("no time was left to start the call, the request timeout being ", limit)))
  }
  call$begun <- seconds()
  call$deadline <- call$begun + left
  body <- call$body
  call$body <- NULL
  front$call <- call
  if (length(body) > LARGE) {
    front$is_littered <- TRUE
    gc() # of the pieces that it came in, before the worker needs the memory
  }
  send_call(front$child, call$req$modelway_id, body)
}

busy <- function(front, call) turn_away(front, call, 503L, "this worker is busy", list("Retry-After" = "1"))

turn_away <- function(front, call, status, reason, headers = list(), times = spent(front, call)) {
  call$resolve(refusal(front, call$req, status, reason, c(headers, times)))
}

# `timing` of a call by now, whose function may have begun at `call$begun`.
spent <- function(front, call) {
  now <- seconds()
  if (is.null(call$begun)) return(timed(front, call, now))
  timed(front, call, call$begun, (now - call$begun) * 1000)
}

timed <- function(front, call, began, took_ms = NULL) {
  timing(front$child$import_ms, (began - call$req$modelway_started) * 1000, took_ms)
}

timeout_words <- function(front) paste0(format(front$instance$request_timeout_s, digits = 6L), " s")

# Take in what the worker said.
heard <- function(front, said) {
  switch(said$kind,
    described = front$child$openapi <- said$text,
    described_public = front$child$openapi_public <- said$text,
    ready = became_ready(front, said$took_ms),
    example = {
      front$child$stage <- "example"
      front$child$deadline <- seconds() + front$instance$request_timeout_s
    },
    load_failed = {
      told <- jsonlite::fromJSON(said$text, simplifyVector = FALSE)
      end_instance(front, told$reason, told$detail)
    },
    finish(front, said)
  )
}

became_ready <- function(front, import_ms) {
  child <- front$child
  child$import_ms <- import_ms
  child$stage <- "ready"
  front$was_ever_ready <- TRUE
  front$early_ends <- 0L
  took <- sprintf("%.3f", seconds() - child$started)
  log_event("worker_ready", worker = 0L, pid = child$process$get_pid(), load_s = took)
  tryCatch(front$open_door(), error = function(e) {
    end_instance(front, paste0("the worker could not start: ", described(e)), "", kind = "start_failed")
  })
}

finish <- function(front, said) {
  call <- front$call
  if (is.null(call)) return()
  front$call <- NULL
  times <- timed(front, call, said$began, if (!said$kind %in% c("refused", "too_large")) said$took_ms)
  if (said$kind == "answered") {
    if (nchar(said$text, "bytes") > LARGE) front$is_littered <- TRUE
    call$resolve(success(front, call$req, said$took_ms, said$text, times))
  } else {
    status <- switch(said$kind, refused = 400L, too_large = 413L, 500L)
    turn_away(front, call, status, jsonlite::parse_json(said$text), times = times)
  }
  next_in_line(front)
}

next_in_line <- function(front) {
  while (is.null(front$call) && length(front$waiting) && front$child$stage == "ready") {
    call <- front$waiting[[1L]]
    front$waiting <- front$waiting[-1L]
    begin(front, call)
  }
}

# Give back what a large call held, once it is sent.
tidy_up <- function(front) {
  if (!front$is_littered || !is.null(front$call) || front$unanswered) return()
  front$is_littered <- FALSE
  gc()
}

# Look at the clock and at the worker, and do what has become due.
tick <- function(front) {
  child <- front$child
  now <- seconds()
  late <- vapply(front$waiting, function(call) call$until <= now, NA)
  for (call in front$waiting[late]) busy(front, call)
  front$waiting <- front$waiting[!late]
  if (has_ended(child)) return(worker_ended(front))
  if (!is.null(front$call) && now > front$call$deadline) return(give_up(front))
  if (child$stage == "wedged" && now > child$deadline) child$process$kill()
  if (child$stage == "example" && now > child$deadline) {
    child$process$interrupt()
    child$process$wait(as.integer(STACK_S * 1000))
    limit <- paste0(timeout_words(front), ", the request timeout")
    end_instance(front, paste0("its example input failed: it took longer than ", limit), "")
  }
}

# The running call is past its deadline: its caller is told so, and the worker says where it is and ends.
give_up <- function(front) {
  call <- front$call
  front$call <- NULL
  after <- sprintf("%.3f", seconds() - call$req$modelway_started)
  log_event("call_overdue", request_id = call$req$modelway_id, after_s = after, worker = 0L)
  turn_away(front, call, 504L, paste0("the call took longer than ", timeout_words(front), ", the request timeout"))
  turn_all_away(front)
  front$close_door()
  front$child$stage <- "wedged"
  front$child$deadline <- seconds() + STACK_S
  front$child$process$interrupt()
}

turn_all_away <- function(front) {
  for (call in front$waiting) busy(front, call)
  front$waiting <- list()
}

# Have the worker replaced, or end the instance.
worker_ended <- function(front) {
  for (said in hear(front$child, 0)) heard(front, said) # its last words
  if (!is.null(front$status)) return()
  child <- front$child
  how <- ended_with(child)
  stage <- child$stage
  front$close_door()
  discard(child)
  call <- front$call
  front$call <- NULL
  if (!is.null(call)) {
    log_event("call_failed", request_id = call$req$modelway_id, trace = paste("the worker ended with", how))
    turn_away(front, call, 500L, paste0("the function's process ended with ", how, " during the call"))
  }
  turn_all_away(front)
  was_ready <- stage %in% c("ready", "wedged")
  front$early_ends <- if (was_ready) 0L else front$early_ends + 1L
  if (was_ready || (front$was_ever_ready && front$early_ends < EARLY_ENDS)) {
    log_event("worker_replaced", worker = 0L, ended_with = sub(" ", "_", how))
    return(start_worker(front))
  }
  why <- paste0("a worker ended with ", how, " while it sourced ", front$instance$file)
  if (stage == "example") why <- paste0("its example input failed: the worker ended with ", how, " while it answered")
  end_instance(front, why, "")
}

end_instance <- function(front, reason, detail, kind = "load_failed") {
  log_event(kind, trace = if (nzchar(detail)) detail else reason, worker = 0L)
  write_exit(front$instance$exit_file, reason, detail, kind)
  front$status <- LOAD_FAILED
}
