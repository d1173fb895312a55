SHADER(blend)
