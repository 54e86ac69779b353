//! Filters of system calls as programs for the kernel: a table of rules in, its BPF out. Pure.

/// One instruction, as the kernel takes it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    pub code: u16,
    pub jump_true: u8,
    pub jump_false: u8,
    pub value: u32,
}

/// What is done with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Allow,
    /// It fails with this number, and nobody is asked.
    Fail(u16),
    /// It waits until whoever holds the listener answers.
    Hold,
}

/// A condition on one argument of a call, by its register: what a pointer points to is not to be had here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    /// The lower half, under this mask, is this.
    Is { argument: u8, mask: u32, value: u32 },
    /// The lower half has one of these bits.
    Any { argument: u8, mask: u32 },
    /// All of it: pointers.
    NotZero { argument: u8 },
}

/// For calls of this number for which all tests hold. The first rule that fits decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub number: u32,
    pub tests: Vec<Test>,
    pub act: Act,
}

/// Numbers from here on are of calls that nobody here has read about: they do not exist for who is filtered.
pub const NEWEST: u32 = 470;
/// Longest program that the kernel takes.
const LENGTH_MAX: usize = 4096;

const ARCH_X86_64: u32 = 0xc000_003e;
const ENOSYS: u16 = 38;
const RET_ALLOW: u32 = 0x7fff_0000;
const RET_ERRNO: u32 = 0x0005_0000;
const RET_USER_NOTIF: u32 = 0x7fc0_0000;
const LOAD: u16 = 0x20;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_AT_LEAST: u16 = 0x35;
const JUMP_SET: u16 = 0x45;
const AND: u16 = 0x54;
const RETURN: u16 = 0x06;
const AT_NUMBER: u32 = 0;
const AT_ARCH: u32 = 4;

fn plain(code: u16, value: u32) -> Instruction {
    Instruction { code, jump_true: 0, jump_false: 0, value }
}

fn low(argument: u8) -> u32 {
    16 + 8 * u32::from(argument)
}

fn give(act: Act) -> Instruction {
    plain(
        RETURN,
        match act {
            Act::Allow => RET_ALLOW,
            Act::Fail(number) => RET_ERRNO | u32::from(number),
            Act::Hold => RET_USER_NOTIF,
        },
    )
}

/// A jump over what belongs to a test that does not hold.
fn unless(code: u16, value: u32, skip: usize) -> Option<Instruction> {
    Some(Instruction { code, jump_true: 0, jump_false: u8::try_from(skip).ok()?, value })
}

/// The program; `None` where it would be longer than the kernel allows. Calls of another architecture or ABI, and of
/// numbers from `newest` on, fail as if they did not exist.
pub fn program(rules: &[Rule], newest: u32) -> Option<Vec<Instruction>> {
    let missing = give(Act::Fail(ENOSYS));
    let mut out = vec![
        plain(LOAD, AT_ARCH),
        Instruction { code: JUMP_EQUAL, jump_true: 1, jump_false: 0, value: ARCH_X86_64 },
        missing,
        plain(LOAD, AT_NUMBER),
        // The x32 calls have bit 30: they are beyond the newest too.
        unless(JUMP_AT_LEAST, newest, 1)?,
        missing,
    ];
    let mut rest = rules;
    while let Some(first) = rest.first() {
        // Rules of one number stand together, so that a number is compared once.
        let same = rest.iter().take_while(|rule| rule.number == first.number).count();
        let (these, others) = rest.split_at(same);
        rest = others;
        let mut block = Vec::new();
        for rule in these {
            let mut body = vec![give(rule.act)];
            for test in rule.tests.iter().rev() {
                let mut tested = Vec::new();
                match *test {
                    Test::Is { argument, mask, value } => {
                        tested.push(plain(LOAD, low(argument)));
                        tested.push(plain(AND, mask));
                        tested.push(unless(JUMP_EQUAL, value, body.len())?);
                    }
                    Test::Any { argument, mask } => {
                        tested.push(plain(LOAD, low(argument)));
                        tested.push(unless(JUMP_SET, mask, body.len())?);
                    }
                    Test::NotZero { argument } => {
                        tested.push(plain(LOAD, low(argument)));
                        // Not zero below: go on behind the look at the upper half.
                        tested.push(Instruction { code: JUMP_EQUAL, jump_true: 0, jump_false: 2, value: 0 });
                        tested.push(plain(LOAD, low(argument) + 4));
                        tested.push(Instruction {
                            code: JUMP_EQUAL,
                            jump_true: u8::try_from(body.len()).ok()?,
                            jump_false: 0,
                            value: 0,
                        });
                    }
                }
                tested.append(&mut body);
                body = tested;
            }
            block.append(&mut body);
        }
        block.push(give(Act::Allow));
        out.push(unless(JUMP_EQUAL, first.number, block.len())?);
        out.append(&mut block);
    }
    out.push(give(Act::Allow));
    (out.len() <= LENGTH_MAX).then_some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The kernel's machine, in so far as programs of this file use it.
    fn run(program: &[Instruction], arch: u32, number: u32, arguments: [u64; 6]) -> u32 {
        let mut data = Vec::new();
        data.extend(number.to_le_bytes());
        data.extend(arch.to_le_bytes());
        data.extend([0; 8]);
        data.extend(arguments.iter().flat_map(|a| a.to_le_bytes()));
        let (mut at, mut value) = (0, 0_u32);
        loop {
            let i = program[at];
            let jump = |holds: bool| usize::from(if holds { i.jump_true } else { i.jump_false });
            at += 1;
            match i.code {
                LOAD => {
                    let from = i.value as usize;
                    value = u32::from_le_bytes(data[from..from + 4].try_into().unwrap());
                }
                AND => value &= i.value,
                JUMP_EQUAL => at += jump(value == i.value),
                JUMP_AT_LEAST => at += jump(value >= i.value),
                JUMP_SET => at += jump(value & i.value != 0),
                RETURN => return i.value,
                other => unreachable!("{other}"),
            }
        }
    }

    /// The same, read off the rules.
    fn plainly(rules: &[Rule], newest: u32, number: u32, arguments: [u64; 6]) -> u32 {
        if number >= newest {
            return give(Act::Fail(ENOSYS)).value;
        }
        let holds = |test: &Test| match *test {
            Test::Is { argument, mask, value } => arguments[usize::from(argument)] as u32 & mask == value,
            Test::Any { argument, mask } => arguments[usize::from(argument)] as u32 & mask != 0,
            Test::NotZero { argument } => arguments[usize::from(argument)] != 0,
        };
        let rule = rules.iter().find(|rule| rule.number == number && rule.tests.iter().all(holds));
        give(rule.map_or(Act::Allow, |rule| rule.act)).value
    }

    fn test() -> impl Strategy<Value = Test> {
        let bits = prop_oneof![Just(0_u32), Just(1), Just(0xf), Just(u32::MAX)];
        (0_u8..6, bits.clone(), bits, 0..3).prop_map(|(argument, mask, value, kind)| match kind {
            0 => Test::Is { argument, mask, value: value & mask },
            1 => Test::Any { argument, mask },
            _ => Test::NotZero { argument },
        })
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![Just(Act::Allow), (1_u16..100).prop_map(Act::Fail), Just(Act::Hold)]
    }

    proptest! {
        #[test]
        fn a_program_does_what_its_rules_say(
            mut rules in prop::collection::vec(
                (0_u32..12, prop::collection::vec(test(), 0..4), act())
                    .prop_map(|(number, tests, act)| Rule { number, tests, act }),
                0..12,
            ),
            number in 0_u32..16,
            arguments in prop::array::uniform6(prop_oneof![
                Just(0_u64), Just(1), Just(1 << 32), Just(0xf), Just(u64::MAX), any::<u64>()
            ]),
        ) {
            rules.sort_by_key(|rule| rule.number);
            let program = program(&rules, 14).unwrap();
            prop_assert_eq!(run(&program, ARCH_X86_64, number, arguments), plainly(&rules, 14, number, arguments));
        }
    }

    #[test]
    fn other_architectures_have_no_calls() {
        let program = program(&[], NEWEST).unwrap();
        let none = RET_ERRNO | u32::from(ENOSYS);
        assert_eq!(run(&program, 0x4000_0003, 1, [0; 6]), none, "32 bits");
        assert_eq!(run(&program, ARCH_X86_64, 0x4000_0001, [0; 6]), none, "x32");
        assert_eq!(run(&program, ARCH_X86_64, 1, [0; 6]), RET_ALLOW);
    }
}
