//! Names that strace prints for numbers: errors and signals.

const ERRORS: [(&str, i64); 58] = [
    ("EPERM", 1),
    ("ENOENT", 2),
    ("ESRCH", 3),
    ("EINTR", 4),
    ("EIO", 5),
    ("ENXIO", 6),
    ("E2BIG", 7),
    ("ENOEXEC", 8),
    ("EBADF", 9),
    ("ECHILD", 10),
    ("EAGAIN", 11),
    ("ENOMEM", 12),
    ("EACCES", 13),
    ("EFAULT", 14),
    ("ENOTBLK", 15),
    ("EBUSY", 16),
    ("EEXIST", 17),
    ("EXDEV", 18),
    ("ENODEV", 19),
    ("ENOTDIR", 20),
    ("EISDIR", 21),
    ("EINVAL", 22),
    ("ENFILE", 23),
    ("EMFILE", 24),
    ("ENOTTY", 25),
    ("ETXTBSY", 26),
    ("EFBIG", 27),
    ("ENOSPC", 28),
    ("ESPIPE", 29),
    ("EROFS", 30),
    ("EMLINK", 31),
    ("EPIPE", 32),
    ("ENAMETOOLONG", 36),
    ("ENOSYS", 38),
    ("ENOTEMPTY", 39),
    ("ELOOP", 40),
    ("EDESTADDRREQ", 89),
    ("EMSGSIZE", 90),
    ("EPROTOTYPE", 91),
    ("ENOPROTOOPT", 92),
    ("EPROTONOSUPPORT", 93),
    ("EOPNOTSUPP", 95),
    ("EAFNOSUPPORT", 97),
    ("EADDRINUSE", 98),
    ("EADDRNOTAVAIL", 99),
    ("ENETDOWN", 100),
    ("ENETUNREACH", 101),
    ("ECONNABORTED", 103),
    ("ECONNRESET", 104),
    ("ENOBUFS", 105),
    ("EISCONN", 106),
    ("ENOTCONN", 107),
    ("ETIMEDOUT", 110),
    ("ECONNREFUSED", 111),
    ("EHOSTDOWN", 112),
    ("EHOSTUNREACH", 113),
    ("EALREADY", 114),
    ("EINPROGRESS", 115),
];
/// For an error that is not in the list: the greatest number that the kernel gives.
const OTHER: i64 = 4095;

/// In the order of their numbers, from 1 (x86 and ARM).
const SIGNALS: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// `-2` of `ENOENT`.
pub(crate) fn negative(name: &str) -> i64 {
    -ERRORS.iter().find(|(known, _)| *known == name).map_or(OTHER, |(_, number)| *number)
}

/// `9` of `SIGKILL`; also of a plain number.
pub(crate) fn signal(name: &str) -> Option<i32> {
    let short = name.strip_prefix("SIG").unwrap_or(name);
    let at = SIGNALS.iter().position(|known| *known == short);
    match (at, short.strip_prefix("RT_")) {
        (Some(at), _) => i32::try_from(at).ok().map(|at| at.saturating_add(1)),
        (None, Some(real_time)) => real_time.parse::<i32>().ok().map(|n| n.saturating_add(32)),
        (None, None) => short.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_numbers() {
        assert_eq!((negative("ENOENT"), negative("EINPROGRESS"), negative("EWHATEVER")), (-2, -115, -4095));
        assert_eq!((signal("SIGKILL"), signal("SIGTERM"), signal("SIGSYS")), (Some(9), Some(15), Some(31)));
        assert_eq!((signal("SIGRT_2"), signal("0"), signal("x")), (Some(34), Some(0), None));
    }
}
