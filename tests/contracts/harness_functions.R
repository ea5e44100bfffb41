# The functions of harness_cases.json, in R.

add <- function(x, y) x + y

# Greet somebody.
#
# In one line.
greet <- function(name, greeting = "Hello") paste0(greeting, ", ", name)

echo <- function(x) x

nothing <- function() NULL

count_rest <- function(x, ...) ...length()

name_rest <- function(x, ...) I(sort(names(list(...))))

numbers <- function() c(NaN, Inf, 1.5)

fails <- function(message) stop(message)

unfit <- function() list(1, fails)

most <- function(values, ..., at_least = 0) list(most = max(unlist(values), at_least), rest = ...length())
