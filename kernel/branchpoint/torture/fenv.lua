-- glibc's floating-point environment and arithmetic with denormal numbers, from code that LuaJIT
-- compiles while it runs.
local ffi = require("ffi")
ffi.cdef [[
int feclearexcept(int); int fetestexcept(int); int fesetround(int); int fegetround(void);
double rint(double); double fma(double, double, double); double exp(double); double log(double);
double sqrt(double); double remainder(double, double); double ldexp(double, int);
]]
local m = ffi.load("libm.so.6")
local INVALID, BY_ZERO, OVERFLOW, UNDERFLOW = 1, 4, 8, 16
local TESTED = INVALID + BY_ZERO + OVERFLOW + UNDERFLOW -- not "inexact": the compiler computes, too
local NEAREST, DOWN, UP, TO_ZERO = 0, 0x400, 0x800, 0xc00

local function spin(n)
    local sum = 0
    for i = 1, n do sum = (sum * 5 + i) % 1048576 end
    return sum
end

local function raised(compute)
    m.feclearexcept(TESTED)
    compute()
    spin(100000)
    return m.fetestexcept(TESTED)
end

local least, small, huge, zero = m.ldexp(1, -1074), m.ldexp(1, -1022), 1e308, 0
local checks = {
    division = function() return raised(function() return m.log(zero) end) == BY_ZERO end,
    overflow = function() return raised(function() return m.exp(1000) end) == OVERFLOW end,
    underflow = function() return raised(function() return m.exp(-1000) end) == UNDERFLOW end,
    invalid = function() return raised(function() return m.sqrt(-1) end) == INVALID end,
    exact = function() return raised(function() return m.remainder(7, 4) end) == 0 end,
    rounding = function()
        local good = true
        for mode, expected in pairs { [NEAREST] = 2, [DOWN] = 1, [UP] = 2, [TO_ZERO] = 1 } do
            m.fesetround(mode)
            spin(20000)
            good = good and m.rint(1.6) == expected and m.fegetround() == mode
        end
        m.fesetround(NEAREST)
        return good
    end,
    denormal = function()
        local sum = 0
        for i = 1, 50000 do sum = sum + least * (i % 7) end
        return sum > 0 and sum < small and sum / least == 150003
    end,
    fused = function() return m.fma(0.1, 10, -1) == m.ldexp(1, -54) end,
}
local names = {}
for name in pairs(checks) do names[#names + 1] = name end
table.sort(names)
io.stdout:setvbuf("line")
local round = 0
while true do
    round = round + 1
    local lost = {}
    for _, name in ipairs(names) do
        if not checks[name]() then lost[#lost + 1] = name end
    end
    print(round .. ": " .. (#lost == 0 and "kept" or "LOST: " .. table.concat(lost, " ")))
end
