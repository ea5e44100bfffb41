# This file is the front's one loop: it serves HTTP, listens to the worker, and looks for the word to stop.

IDLE_S <- 0.25 # how late a stop may be seen while nothing happens; requests are served at once
BUSY_S <- c(0.001, 0.010) # how long health waits at most while a call runs, at its start and later
FLUSH_S <- c("handed over" = 2, "sent" = 0.05, "sent, after a call" = 1)

# Run the instance until it is stopped; the exit status of the process.
serve <- function(instance, place) {
  unlink(instance$exit_file)
  door <- new_door(instance$socket)
  app <- NULL
  front <- new_front(instance, place, function() door$open(app), door$hide)
  start_worker(front)
  app <- application(front) # beside the script, which takes its while to load
  warm_up(app)
  stop_file <- file.path(place$work, "stop")
  pause <- BUSY_S[[1L]]
  while (is.null(front$status)) {
    is_loud <- front$child$stage != "ready" || !is.null(front$call)
    pause <- if (is_loud) min(pause * 1.2, BUSY_S[[2L]]) else BUSY_S[[1L]]
    if (is_loud) for (said in hear(front$child, pause)) heard(front, said)
    later::run_now(if (is_loud || !is.null(front$call)) 0 else IDLE_S)
    if (is.null(front$status)) tick(front)
    tidy_up(front)
    if (!front$is_stopping && file.exists(stop_file)) begin_stop(front)
    if (front$is_stopping && is.null(front$status) && may_end(front)) front$status <- 0L
  }
  flush_answers(front)
  door$close()
  if (front$child$stage == "ready") let_end(front$child, if (is.null(front$call)) front$stop_by - seconds() else 0)
  discard(front$child)
  front$status
}

# Have what the first requests need loaded before they come: the packages put much of it off.
warm_up <- function(app) {
  for (each in list(c("GET", "/health"), c("POST", "/model"))) {
    req <- new.env()
    req$REQUEST_METHOD <- each[[1L]]
    req$PATH_INFO <- each[[2L]]
    req$QUERY_STRING <- ""
    req$rook.input <- list(read = function(...) raw())
    if (is.null(app$onHeaders(req))) app$call(req)
  }
  for (turn in 1:10) later::run_now(0)
}

# Nobody new; the running call has until the grace is over.
begin_stop <- function(front) {
  front$is_stopping <- TRUE
  front$had_call_at_stop <- !is.null(front$call)
  front$stop_by <- seconds() + front$instance$grace_s
  front$close_door()
  turn_all_away(front)
}

may_end <- function(front) is.null(front$call) || seconds() > front$stop_by

# Let what has been answered be sent: httpuv does that in a thread of its own and does not tell when it has.
flush_answers <- function(front) {
  until <- seconds() + FLUSH_S[["handed over"]]
  never <- if (is.null(front$call)) 0L else 1L # the grace is over: it will not be answered
  while (front$unanswered > never && seconds() < until) later::run_now(0.02)
  until <- seconds() + if (front$had_call_at_stop) FLUSH_S[["sent, after a call"]] else FLUSH_S[["sent"]]
  while (front$was_ever_ready && seconds() < until) later::run_now(0.02)
}

# The Unix socket at `path`, mode 0600. It is made under another name and renamed, so that at no moment others may
# connect or nothing is found. Hidden, it has that name again: it takes nobody new, and answers those who are connected.
new_door <- function(path) {
  server <- NULL
  aside <- paste0(path, ".new")
  open <- function(app) {
    unlink(path)
    if (is.null(server)) {
      unlink(aside)
      server <<- httpuv::startPipeServer(aside, strtoi("177", 8L), app, quiet = TRUE)
    }
    if (!file.rename(aside, path)) stop("the socket cannot be renamed")
  }
  hide <- function() if (file.exists(path)) file.rename(path, aside)
  close <- function() {
    unlink(c(path, aside))
    if (!is.null(server)) server$stop()
  }
  list(open = open, hide = hide, close = close)
}
